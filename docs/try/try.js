// The page "Try it": takes a photo, asks the worker for its mask, and draws the two.
//
// All that is known of a model comes from its record, built/MODEL.json (see build.py).

const LONGEST_SIDE = 1600; // larger photos are reduced
const HATCH = 8; // distance of the lines over ignored pixels
const HATCH_COLOUR = [128, 128, 128];

const element = (id) => document.getElementById(id);
const fetchJson = async (name) => {
  const response = await fetch(new URL(`./built/${name}`, import.meta.url));
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return response.json();
};

const canvas = element("canvas");
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const waiting = new Map(); // requests by number
let records = [];
let runtimeBytes = 0;
let requests = 0;
let predictions = 0;
let reads = 0;
let photo = null; // the pixels of the last photo
let shown = null; // the photo, its mask and alpha, and the record of the model that made them
let blurred = null; // the blurred background of the last photo, once it was asked for

worker.addEventListener("message", ({ data }) => {
  if (data.total) return showProgress(data.loaded, data.total);
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  return data.error ? reject(new Error(data.error)) : resolve(data);
});
worker.addEventListener("error", ({ message }) => {
  for (const { reject } of waiting.values()) reject(new Error(message ?? "the worker stopped"));
  waiting.clear();
});

// What the worker finds. `request` is what worker.js describes.
function ask(request) {
  const id = ++requests;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, ...request });
  });
}

// `busy`, `ready` or `failed`, with the text of the status line.
function state(name, text) {
  element("try").dataset.state = name;
  element("status").textContent = text;
  element("busy").hidden = name === "ready" || name === "failed";
}

function showProgress(loaded, total) {
  element("status").textContent = "Loading the model.";
  const percent = Math.round((100 * loaded) / total);
  element("progress").value = loaded / total;
  element("doing").textContent =
    percent < 100
      ? `Loading the model: ${percent} % of ${Math.round(total / 1e6)} MB`
      : "Starting the model";
}

async function predict() {
  if (!photo) return;
  const pixels = photo;
  const record = records[element("model").selectedIndex];
  const [read, prediction] = [reads, ++predictions];
  const latest = () => read === reads && prediction === predictions; // no other photo or model came
  element("progress").removeAttribute("value"); // it moves to and fro until bytes are counted
  element("doing").textContent = "Segmenting the photo";
  state("busy", "Segmenting the photo.");
  try {
    const found = await ask({ record, runtimeBytes, photo: pixels });
    if (!latest()) return;
    shown = { photo: pixels, mask: found.mask, alpha: found.alpha, record };
    blurred = null;
    await draw();
    describe(record, found.mask);
    const sizes = found.seen.map(([height, width]) => `${width} x ${height}`).join(" and ");
    state("ready", `${Math.round(found.milliseconds)} ms at ${sizes}.`);
  } catch (error) {
    if (latest()) state("failed", `The model cannot be run: ${error.message}`);
  }
}

// Pixels with another class within `reach` above, below, left or right of them.
function outlines(mask, width, height, reach) {
  const found = new Uint8Array(mask.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      if (x + reach < width && mask[i] !== mask[i + reach]) found[i] = found[i + reach] = 1;
      if (y + reach < height && mask[i] !== mask[i + reach * width]) {
        found[i] = found[i + reach * width] = 1;
      }
    }
  }
  return found;
}

// The colour behind the cut-out, null for none, or the pixels of the blurred background.
async function behind(choice) {
  if (choice === "none") return null;
  if (choice === "blur") {
    const { photo: pixels, alpha } = shown;
    blurred ??= ask({ photo: pixels, alpha });
    return (await blurred).blurred;
  }
  const colour = choice === "white" ? "#ffffff" : element("colour").value;
  return [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));
}

async function draw() {
  if (!shown) return;
  const mine = shown;
  const { width, height, data } = shown.photo;
  const { record } = shown;
  const { class_names: names } = record.info;
  const background = names.indexOf("background");
  element("cutout").hidden = background < 0;
  if (background < 0 && view() === "cutout") {
    document.querySelector("input[name=view][value=overlay]").checked = true;
  }
  const picture = new ImageData(new Uint8ClampedArray(data), width, height);
  const [kind, choice] = [view(), element("behind").value];
  if (kind === "cutout") {
    const colours = await behind(choice);
    // Another photo or choice may have come after it.
    if (mine !== shown || kind !== view() || choice !== element("behind").value) return;
    cutOut(picture, shown.alpha, colours);
  } else {
    layOver(picture, kind, background);
  }
  put(picture);
  canvas.dataset.behind = kind === "cutout" ? choice : "";
  element("opacity-row").hidden = kind !== "overlay";
  element("behind-row").hidden = kind !== "cutout";
  element("colour").hidden = choice !== "colour";
  element("save").disabled = false;
}

function view() {
  return document.querySelector("input[name=view]:checked").value;
}

function cutOut(picture, alpha, colours) {
  for (let i = 0; i < alpha.length; i++) {
    if (colours === null) {
      picture.data[4 * i + 3] = alpha[i];
      continue;
    }
    const start = colours.length === 3 ? 0 : 4 * i;
    for (let c = 0; c < 3; c++) {
      const other = colours[start + c];
      picture.data[4 * i + c] = other + (alpha[i] / 255) * (picture.data[4 * i + c] - other);
    }
  }
}

function layOver(picture, kind, background) {
  const { mask, record } = shown;
  const { width, height } = picture;
  const ignored = record.info.ignore_class;
  const opacity = element("opacity").value / 100;
  const rim = outlines(mask, width, height, Math.max(1, Math.round(Math.min(width, height) / 250)));
  for (let i = 0; i < mask.length; i++) {
    let colour = record.colours[mask[i]];
    let weight = 0;
    if (mask[i] === ignored) {
      colour = HATCH_COLOUR;
      weight = ((i % width) + Math.floor(i / width)) % HATCH < 2 ? 1 : 0;
    } else if (kind === "mask") {
      weight = 1;
    } else if (mask[i] !== background) {
      weight = rim[i] ? 1 : opacity;
    }
    for (let c = 0; c < 3; c++) {
      picture.data[4 * i + c] += weight * (colour[c] - picture.data[4 * i + c]);
    }
  }
}

function put(picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function describe({ info, colours }, mask) {
  element("legend").replaceChildren(
    ...info.class_names.map((name, k) => {
      const share = mask.reduce((sum, found) => sum + (found === k), 0) / mask.length;
      const entry = document.createElement("li");
      const box = document.createElement("i");
      box.style.background = `rgb(${k === info.ignore_class ? HATCH_COLOUR : colours[k]})`;
      const ignored = k === info.ignore_class ? " (ignored)" : "";
      entry.append(box, `${name}${ignored} ${(100 * share).toFixed(1)} %`);
      return entry;
    }),
  );
}

// RGB of a picture, on white where it is transparent, at its own size.
function pixelsOf(picture) {
  const width = picture.videoWidth ?? picture.naturalWidth ?? picture.width;
  const height = picture.videoHeight ?? picture.naturalHeight ?? picture.height;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const size = [Math.round(scale * width), Math.round(scale * height)];
  const copy = new OffscreenCanvas(...size).getContext("2d");
  copy.fillStyle = "white";
  copy.fillRect(0, 0, ...size);
  copy.drawImage(picture, 0, 0, ...size);
  return copy.getImageData(0, 0, ...size);
}

async function show(source) {
  const mine = ++reads;
  element("progress").removeAttribute("value");
  element("doing").textContent = "Reading the photo";
  state("busy", "Reading the photo.");
  let pixels;
  try {
    if (source instanceof HTMLImageElement) await source.decode();
    pixels = pixelsOf(source instanceof Blob ? await createImageBitmap(source) : source);
  } catch (error) {
    if (mine === reads) state("failed", `This file cannot be read as an image: ${error.message}`);
    return;
  }
  if (mine !== reads) return; // another photo came after it
  photo = pixels;
  shown = null;
  element("legend").replaceChildren();
  element("save").disabled = true;
  canvas.dataset.behind = "";
  put(photo); // at once, until the mask is there
  await predict();
}

function press(button) {
  for (const other of element("samples").children) {
    other.setAttribute("aria-pressed", String(other === button));
  }
}

function showSample(button) {
  press(button);
  return show(button.firstElementChild);
}

function showFile(file) {
  if (!file) return;
  press(null);
  show(file);
}

function listen() {
  element("photo").addEventListener("change", ({ target }) => showFile(target.files[0]));
  const drop = element("try");
  for (const event of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(event, (happened) => {
      happened.preventDefault();
      element("drop").classList.toggle("over", event === "dragenter" || event === "dragover");
    });
  }
  drop.addEventListener("drop", ({ dataTransfer }) => showFile(dataTransfer.files[0]));
  document.addEventListener("paste", ({ clipboardData }) => showFile(clipboardData.files[0]));
  for (const input of document.querySelectorAll("input[name=view], #opacity, #behind, #colour")) {
    input.addEventListener("input", draw);
  }
  element("model").addEventListener("change", predict);
  for (const button of element("samples").children) {
    button.addEventListener("click", () => showSample(button));
  }
  element("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.download = `${view()}.png`;
    link.href = canvas.toDataURL("image/png");
    link.click();
  });
  element("camera").addEventListener("click", openCamera);
  element("shoot").addEventListener("click", () => {
    const shown = show(element("video"));
    closeCamera();
    return shown;
  });
}

async function openCamera() {
  const video = element("video");
  if (video.srcObject) return closeCamera();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
    video.hidden = element("shoot").hidden = false;
    canvas.hidden = true;
    element("camera").textContent = "Close the camera";
    element("shoot").focus();
  } catch (error) {
    element("status").textContent = `The camera cannot be used: ${error.message}`;
  }
}

function closeCamera() {
  const video = element("video");
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  video.hidden = element("shoot").hidden = true;
  canvas.hidden = false;
  element("camera").textContent = "Use the camera";
}

async function start() {
  const index = await fetchJson("index.json");
  runtimeBytes = index.runtime_bytes;
  records = await Promise.all(index.models.map((name) => fetchJson(`${name}.json`)));
  for (const [number, { mean_iou: iou }] of records.entries()) {
    element("model").add(new Option(`${index.models[number]}, mean IoU ${iou.toFixed(3)}`));
  }
  listen();
  await showSample(element("samples").firstElementChild);
}

start().catch((error) => state("failed", `The page cannot be started: ${error.message}`));
