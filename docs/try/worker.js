// Runs a model on a photo as petseg.predict does (resize, model, resize, argmax), and finds the edges
// of the cut-out as petseg.cutout does.
//
// Receives {id, record, runtimeBytes, photo}: the record of a model (see build.py), and an ImageData.
// Posts {loaded, total} as the bytes of a model arrive, then {id, mask, alpha, seen, milliseconds} or
// {id, error}. `alpha` is null where no class is the background, and `seen` lists the sizes at which
// the model saw the photo.
//
// Receives {id, photo, alpha} to blur the background of a photo. Posts {id, blurred}: RGBA.

import * as ort from "./built/ort.wasm.bundle.min.mjs";

const BUILT = new URL("./built/", import.meta.url);
const RUNTIME = "ort-wasm-simd-threaded.wasm";
const UNKNOWN_SIZE = 224; // shorter side, where a model has no image size of its own
const CLOSER_SCALE = 1.5; // of the second look, at small objects

// Standard deviations of blurs, as parts of the shorter side (of the longer one for the background).
const FEATHER = 0.002;
const NEARER = 0.02;
const BLUR_RADIUS = 0.02;

const sessions = new Map();
let runtime = null;

// All bytes of a file; `report` gets how many have arrived.
async function download(name, report) {
  const response = await fetch(new URL(name, BUILT));
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  const parts = [];
  let arrived = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    arrived += value.length;
    report(arrived);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function open(record, runtimeBytes) {
  // The runtime is fetched with the first model; the two share one progress bar.
  const first = runtime === null;
  const total = record.bytes + (first ? runtimeBytes : 0);
  const arrived = { runtime: 0, model: 0 };
  const report = (part) => (bytes) => {
    arrived[part] = bytes;
    postMessage({ loaded: Math.min(arrived.runtime + arrived.model, total), total });
  };
  runtime ??= download(RUNTIME, report("runtime"));
  try {
    const [binary, model] = await Promise.all([runtime, download(record.file, report("model"))]);
    ort.env.wasm.wasmBinary = binary;
    ort.env.wasm.numThreads = 1; // more threads need headers that a static page cannot send
    return await ort.InferenceSession.create(model);
  } catch (error) {
    if (first) runtime = null; // the next request tries again
    throw error;
  }
}

function session(record, runtimeBytes) {
  if (!sessions.has(record.file)) {
    const opening = open(record, runtimeBytes);
    opening.catch(() => sessions.delete(record.file));
    sessions.set(record.file, opening);
  }
  return sessions.get(record.file);
}

// For each new position along a line: where its triangle begins, and its weights.
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

// Bilinear and, where it shrinks, antialiased, as Pillow does it. Channels last.
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

// Classes of a model that returns classes, at another size.
function nearest(classes, [height, width], [newHeight, newWidth]) {
  const mask = new Uint8Array(newHeight * newWidth);
  for (let y = 0; y < newHeight; y++) {
    const row = Math.floor(((y + 0.5) * height) / newHeight) * width;
    for (let x = 0; x < newWidth; x++) {
      mask[y * newWidth + x] = Number(classes[row + Math.floor(((x + 0.5) * width) / newWidth)]);
    }
  }
  return mask;
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

function sizeFor(info, [height, width]) {
  if (info.image_size) return info.image_size;
  const scale = UNKNOWN_SIZE / Math.min(height, width);
  return [Math.round(scale * height), Math.round(scale * width)];
}

// Divides logits by the temperature of the model and turns them into probabilities, in place.
function softmax(logits, classes, temperature) {
  for (let i = 0; i < logits.length; i += classes) {
    let most = -Infinity;
    for (let c = 0; c < classes; c++) most = Math.max(most, logits[i + c]);
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      logits[i + c] = Math.exp((logits[i + c] - most) / temperature);
      sum += logits[i + c];
    }
    for (let c = 0; c < classes; c++) logits[i + c] /= sum;
  }
  return logits;
}

// The mean of what a model says about a photo at two sizes, at the second one, as logits.
function join(one, oneSize, other, otherSize, { class_names: { length: classes }, temperature }) {
  const joined = softmax(resize(one, oneSize, otherSize, classes), classes, temperature);
  const second = softmax(Float32Array.from(other), classes, temperature);
  for (let i = 0; i < joined.length; i++) {
    joined[i] = Math.log(Math.max((joined[i] + second[i]) / 2, 1e-30));
  }
  return joined;
}

async function predict(loaded, info, photo) {
  const begin = performance.now();
  const size = [photo.height, photo.width];
  const [low, high] = info.input_range;
  const rgb = new Float32Array((photo.data.length / 4) * 3);
  for (let i = 0; i < rgb.length / 3; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = low + ((high - low) * photo.data[4 * i + c]) / 255;
  }
  const run = async (seen) => {
    const images = new ort.Tensor("float32", resize(rgb, size, seen, 3), [1, ...seen, 3]);
    const outputs = await loaded.run({ [loaded.inputNames[0]]: images });
    return outputs[loaded.outputNames[0]].data;
  };
  const seen = [sizeFor(info, size)];
  let output = await run(seen[0]);
  const classes = info.class_names.length;
  const background = info.class_names.indexOf("background");
  let mask;
  if (info.argmax) {
    mask = nearest(output, seen[0], size);
  } else {
    if (background >= 0 && info.closer_look_below > 0) {
      const first = argmax(output, classes);
      const foreground = first.reduce((sum, k) => sum + (k !== background), 0) / first.length;
      if (foreground < info.closer_look_below) {
        seen.push(seen[0].map((side) => Math.round(CLOSER_SCALE * side)));
        output = join(output, seen[0], await run(seen[1]), seen[1], info);
      }
    }
    mask = argmax(resize(output, seen.at(-1), size, classes), classes);
  }
  const alpha = background < 0 ? null : feathered(mask, size, info.class_names);
  return { mask, alpha, seen, milliseconds: performance.now() - begin };
}

// One pass of a box blur along the lines of a plane, whose edges are continued. As in Pillow, the
// radius may be a fraction: the outermost pixels then count in part.
function boxBlur(plane, [height, width], radius) {
  const whole = Math.floor(radius);
  const part = radius - whole;
  const result = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const line = plane.subarray(y * width, (y + 1) * width);
    const at = (x) => line[Math.min(Math.max(x, 0), width - 1)];
    let sum = 0;
    for (let x = -whole; x <= whole; x++) sum += at(x);
    for (let x = 0; x < width; x++) {
      const outer = at(x - whole - 1) + at(x + whole + 1);
      result[y * width + x] = (sum + part * outer) / (2 * radius + 1);
      sum += at(x + whole + 1) - at(x - whole);
    }
  }
  return result;
}

function transpose(plane, [height, width]) {
  const turned = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) turned[x * height + y] = plane[y * width + x];
  }
  return turned;
}

// A Gaussian blur by three box blurs in each direction, as in Pillow.
function blur(plane, [height, width], sigma) {
  const variance = sigma ** 2 / 3;
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const part =
    ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) /
    (6 * (variance - (whole + 1) ** 2));
  let result = plane;
  for (const size of [[height, width], [width, height]]) {
    for (let pass = 0; pass < 3; pass++) result = boxBlur(result, size, whole + part);
    result = transpose(result, size);
  }
  return result;
}

// Alpha with blurred edges. They run through the middle of the border, where there is one.
function feathered(mask, size, names) {
  const background = names.indexOf("background");
  const border = names.indexOf("border");
  const side = Math.min(...size);
  let solid = Float32Array.from(mask, (k) => (k === background ? 0 : 255));
  if (border >= 0 && mask.includes(border)) {
    const pet = Float32Array.from(mask, (k) => (k === background || k === border ? 0 : 255));
    const inside = blur(pet, size, NEARER * side);
    const outside = blur(solid.map((value) => 255 - value), size, NEARER * side);
    solid = solid.map((value, i) => (mask[i] === border && inside[i] < outside[i] ? 0 : value));
  }
  return Uint8ClampedArray.from(blur(solid, size, FEATHER * side));
}

// Blurs a photo without its object, whose colours would glow around it otherwise.
function blurredBackground({ data, width, height }, alpha) {
  const size = [height, width];
  const sigma = BLUR_RADIUS * Math.max(...size);
  const weight = blur(Float32Array.from(alpha, (a) => 255 - a), size, sigma);
  const result = new Uint8ClampedArray(data.length).fill(255);
  for (let c = 0; c < 3; c++) {
    const visible = Float32Array.from(alpha, (a, i) => (data[4 * i + c] * (255 - a)) / 255);
    const sums = blur(visible, size, sigma);
    for (let i = 0; i < sums.length; i++) {
      result[4 * i + c] = (255 * sums[i]) / Math.max(weight[i], 1);
    }
  }
  return result;
}

addEventListener("message", async ({ data: { id, record, runtimeBytes, photo, alpha } }) => {
  try {
    if (alpha) {
      postMessage({ id, blurred: blurredBackground(photo, alpha) });
      return;
    }
    const loaded = await session(record, runtimeBytes);
    postMessage({ id, ...(await predict(loaded, record.info, photo)) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});
