// Runs a model on a photo as petseg.predict does: resize, model, resize, argmax.
//
// Receives {id, record, runtimeBytes, photo}: the record of a model (see build.py), and an ImageData.
// Posts {loaded, total} as the bytes of a model arrive, then {id, mask, seen, milliseconds}, where
// `seen` is the size that the model saw, or {id, error}.

import * as ort from "./built/ort.wasm.bundle.min.mjs";

const BUILT = new URL("./built/", import.meta.url);
const RUNTIME = "ort-wasm-simd-threaded.wasm";
const UNKNOWN_SIZE = 224; // shorter side, where a model has no image size of its own

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

async function predict(loaded, info, photo) {
  const begin = performance.now();
  const size = [photo.height, photo.width];
  const [low, high] = info.input_range;
  const rgb = new Float32Array((photo.data.length / 4) * 3);
  for (let i = 0; i < rgb.length / 3; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = low + ((high - low) * photo.data[4 * i + c]) / 255;
  }
  const seen = sizeFor(info, size);
  const images = new ort.Tensor("float32", resize(rgb, size, seen, 3), [1, ...seen, 3]);
  const outputs = await loaded.run({ [loaded.inputNames[0]]: images });
  const { data } = outputs[loaded.outputNames[0]];
  const classes = info.class_names.length;
  const mask = info.argmax
    ? nearest(data, seen, size)
    : argmax(resize(data, seen, size, classes), classes);
  return { mask, seen, milliseconds: performance.now() - begin };
}

addEventListener("message", async ({ data: { id, record, runtimeBytes, photo } }) => {
  try {
    const loaded = await session(record, runtimeBytes);
    postMessage({ id, ...(await predict(loaded, record.info, photo)) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});
