// Predict and explain a picture in the browser, with a model that has its explanation inside.
// index.html?folder=FOLDER, which python prepare.py made; &post=URL sends what came out there as JSON.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const asked = new URLSearchParams(location.search);
const folder = asked.get("folder") ?? "prepared";
const arrays = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array }; // of float16 the bits

async function load(name) {
  const answer = await fetch(`${folder}/${name}`);
  if (!answer.ok) throw new Error(`expected ${folder}/${name}, got HTTP ${answer.status}; run prepare.py first`);
  return answer;
}

async function explain() {
  ort.env.wasm.numThreads = 1; // more need the headers of cross-origin isolation
  const about = await (await load("about.json")).json();
  const values = new arrays[about.type](await (await load("input.bin")).arrayBuffer());
  const model = new Uint8Array(await (await load("explained.onnx")).arrayBuffer());
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const [count, ...shape] = about.shape;
  const size = shape.reduce((product, side) => product * side, 1);
  const results = [];
  for (let i = 0; i < count; i++) {
    const picture = values.slice(i * size, (i + 1) * size);
    results.push(await session.run({ [session.inputNames[0]]: new ort.Tensor(about.type, picture, [1, ...shape]) }));
  }
  show(results[0], about);
  return results.map((found) =>
    Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, Array.from(tensor.data, Number)])),
  );
}

function show(found, about) {
  const scores = Array.from(found[about.scores].data);
  const label = about.labels[scores.indexOf(Math.max(...scores))];
  const kept = found.units ? Array.from(found.units.data).filter(Boolean).length : null;
  const units = kept === null ? "" : `: ${kept} of ${found.units.data.length} units suffice for it, and none can go`;
  document.getElementById("said").textContent = `${label}${units}.`;
  document.getElementById("picture").src = `${folder}/picture.png`;
  paint(document.getElementById("map"), found.saliency_map);
}

function paint(canvas, map) {
  const [height, width] = map.dims.slice(2);
  [canvas.height, canvas.width] = [height, width];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  map.data.forEach((value, i) => pixels.data.set([255, 255 * (1 - value), 0, 255 * value], 4 * i));
  context.putImageData(pixels, 0, 0);
}

async function post(body) {
  if (asked.has("post")) await fetch(asked.get("post"), { method: "POST", body: JSON.stringify(body) });
}

try {
  await post(await explain());
} catch (error) {
  document.getElementById("said").textContent = error.message;
  await post({ error: error.message });
}
