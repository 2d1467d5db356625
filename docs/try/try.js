// A photo to its mask in the browser, as petseg.predict does it: resize, network, resize, argmax.

import * as ort from "./built/ort.wasm.bundle.min.mjs";

const LONGEST_SIDE = 1600; // of a picture here; larger photos are made smaller
const BACKGROUND = "background";

const element = (id) => document.getElementById(id);
const canvas = element("canvas");
const networks = await (await fetch(new URL("./built/networks.json", import.meta.url))).json();
const sessions = new Map();
let shown = null; // the photo, its mask, and the network that made it

ort.env.wasm.numThreads = 1; // more need headers that a static page cannot send
ort.env.wasm.wasmPaths = {
  wasm: new URL("./built/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};

function session(network) {
  if (!sessions.has(network.file)) {
    const file = new URL(`./built/${network.file}`, import.meta.url).href;
    sessions.set(network.file, ort.InferenceSession.create(file));
  }
  return sessions.get(network.file);
}

// For each new position along a line: where its triangle begins, and the weights from there on.
function triangles(from, to) {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, position) => {
    const center = (position + 0.5) * scale;
    const begin = Math.max(0, Math.floor(center - support + 0.5));
    const end = Math.min(from, Math.floor(center + support + 0.5));
    const weights = Array.from({ length: end - begin }, (_, k) =>
      Math.max(0, 1 - Math.abs((begin + k - center + 0.5) / support)),
    );
    const sum = weights.reduce((a, b) => a + b);
    return { begin, weights: weights.map((weight) => weight / sum) };
  });
}

// Bilinear and, when it shrinks, antialiased: Pillow's. Channels last.
function resize(pixels, [height, width], [newHeight, newWidth], channels) {
  const columns = triangles(width, newWidth);
  const rows = triangles(height, newHeight);
  const wide = new Float32Array(height * newWidth * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { begin, weights } = columns[x];
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += weights[k] * pixels[(y * width + begin + k) * channels + c];
        }
        wide[(y * newWidth + x) * channels + c] = sum;
      }
    }
  }
  const line = newWidth * channels;
  const result = new Float32Array(newHeight * line);
  for (let y = 0; y < newHeight; y++) {
    const { begin, weights } = rows[y];
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k];
      const start = (begin + k) * line;
      for (let x = 0; x < line; x++) result[y * line + x] += weight * wide[start + x];
    }
  }
  return result;
}

function argmax(logits, classes) {
  const mask = new Uint8Array(logits.length / classes);
  for (let i = 0; i < mask.length; i++) {
    let best = 0;
    for (let c = 1; c < classes; c++) {
      if (logits[i * classes + c] > logits[i * classes + best]) best = c;
    }
    mask[i] = best;
  }
  return mask;
}

// RGB of a picture, over white where it is transparent.
function pixelsOf(picture, width, height) {
  const copy = new OffscreenCanvas(width, height).getContext("2d");
  copy.fillStyle = "white";
  copy.fillRect(0, 0, width, height);
  copy.drawImage(picture, 0, 0, width, height);
  return copy.getImageData(0, 0, width, height);
}

async function predict(photo, network) {
  const size = [photo.height, photo.width];
  const rgb = new Float32Array((photo.data.length / 4) * 3);
  for (let i = 0; i < rgb.length / 3; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = photo.data[4 * i + c];
  }
  const loaded = await session(network);
  const begin = performance.now();
  const images = new ort.Tensor("float32", resize(rgb, size, network.size, 3), [1, ...network.size, 3]);
  const outputs = await loaded.run({ [loaded.inputNames[0]]: images });
  const logits = outputs[loaded.outputNames[0]];
  const classes = network.classes.length;
  const mask = argmax(resize(logits.data, network.size, size, classes), classes);
  return { mask, milliseconds: performance.now() - begin };
}

function draw() {
  if (!shown) return;
  const { photo, mask, network } = shown;
  const view = document.querySelector("input[name=view]:checked").value;
  const opacity = element("opacity").value / 100;
  const background = network.classes.indexOf(BACKGROUND);
  const picture = new ImageData(new Uint8ClampedArray(photo.data), photo.width, photo.height);
  for (let i = 0; i < mask.length; i++) {
    const weight = view === "mask" ? 1 : view === "overlay" && mask[i] !== background ? opacity : 0;
    const colour = network.colours[mask[i]];
    for (let c = 0; c < 3; c++) {
      picture.data[4 * i + c] += weight * (colour[c] - picture.data[4 * i + c]);
    }
    if (view === "cutout" && mask[i] === background) picture.data[4 * i + 3] = 0;
  }
  canvas.width = photo.width;
  canvas.height = photo.height;
  canvas.classList.toggle("clear", view === "cutout");
  canvas.getContext("2d").putImageData(picture, 0, 0);
  element("opacity").disabled = view !== "overlay";
}

function describe(network, mask, milliseconds) {
  const legend = element("legend");
  legend.replaceChildren();
  network.classes.forEach((name, k) => {
    const share = mask.reduce((sum, found) => sum + (found === k), 0) / mask.length;
    const entry = document.createElement("span");
    const box = document.createElement("i");
    box.style.background = `rgb(${network.colours[k]})`;
    entry.append(box, `${name} ${(100 * share).toFixed(1)} %`);
    legend.append(entry);
  });
  const [height, width] = network.size;
  element("status").textContent =
    `${Math.round(milliseconds)} ms, seen by the network at ${width} x ${height}.`;
}

async function show(source) {
  const status = element("status");
  status.textContent = "Looking at the photo.";
  try {
    const picture = source instanceof Blob ? await createImageBitmap(source) : source;
    // Its own size: the width of an image in the page is what it takes up there.
    const width = picture.videoWidth ?? picture.naturalWidth ?? picture.width;
    const height = picture.videoHeight ?? picture.naturalHeight ?? picture.height;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    const photo = pixelsOf(picture, Math.round(scale * width), Math.round(scale * height));
    await again(photo);
  } catch (error) {
    status.textContent = `This cannot be shown as a picture: ${error.message}`;
  }
}

async function again(photo) {
  const network = networks[element("network").selectedIndex];
  const { mask, milliseconds } = await predict(photo, network);
  shown = { photo, mask, network };
  element("result").hidden = false;
  draw();
  describe(network, mask, milliseconds);
}

function listen() {
  element("photo").addEventListener("change", ({ target }) => target.files[0] && show(target.files[0]));
  const drop = element("drop");
  for (const event of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(event, (happened) => {
      happened.preventDefault();
      drop.classList.toggle("over", event === "dragenter" || event === "dragover");
    });
  }
  drop.addEventListener("drop", ({ dataTransfer }) => dataTransfer.files[0] && show(dataTransfer.files[0]));
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files[0]) show(clipboardData.files[0]);
  });
  for (const input of document.querySelectorAll("input[name=view], #opacity")) {
    input.addEventListener("input", draw);
  }
  element("network").addEventListener("change", async () => {
    await session(networks[element("network").selectedIndex]);
    if (shown) await again(shown.photo);
  });
  element("save").addEventListener("click", () => {
    const link = document.createElement("a");
    const view = document.querySelector("input[name=view]:checked").value;
    link.download = `${view}.png`;
    link.href = canvas.toDataURL("image/png");
    link.click();
  });
  element("camera").addEventListener("click", openCamera);
  element("shoot").addEventListener("click", async () => {
    await show(element("video"));
    closeCamera();
  });
}

async function openCamera() {
  const video = element("video");
  if (video.srcObject) return closeCamera();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
    video.hidden = element("shoot").hidden = false;
    element("camera").textContent = "Close the camera";
    element("shoot").focus();
  } catch (error) {
    element("status").textContent = `There is no camera to use: ${error.message}`;
  }
}

function closeCamera() {
  const video = element("video");
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  video.hidden = element("shoot").hidden = true;
  element("camera").textContent = "Use the camera";
}

function offer() {
  for (const network of networks) {
    element("network").add(new Option(`${network.name} (mean IoU ${network.mean_iou.toFixed(3)})`));
  }
  for (const number of [1, 2, 3, 4, 5]) {
    const button = document.createElement("button");
    const image = new Image();
    image.src = new URL(`./built/pet-${number}.png`, import.meta.url).href;
    image.alt = `Photo ${number}`;
    button.type = "button";
    button.append(image);
    button.addEventListener("click", () => show(image));
    element("samples").append(button);
  }
}

offer();
listen();
try {
  await session(networks[0]);
  element("status").textContent = "Ready.";
} catch (error) {
  element("status").textContent = `The network cannot be loaded: ${error.message}`;
}
