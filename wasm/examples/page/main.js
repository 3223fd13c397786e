// Slices of a Crackle array on a canvas: choose a slice, click on an object to highlight it.
//
// "?url=seg.zarr" names the array: a path beside this page, or a server that allows it (CORS).

import { register } from "crackle-zarr";
import { registry } from "zarrita";

import { paint } from "./colors.js";
import { openLabels, Slices } from "./slices.js";

register(registry);

const $ = (id) => document.getElementById(id);
const canvas = $("slice");
const context = canvas.getContext("2d");

/** @type {Slices | undefined} */
let slices;
let labels; // of the slice on the canvas
let highlighted = null;
let drawn = 0; // the number of the last request for a slice

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").className = isError ? "error" : "";
}

/** The message of an error and of its causes, without repeats: zarrita wraps those of codecs. */
function explain(error) {
  const messages = [];
  for (let one = error; one; one = one.cause) messages.push(one.message ?? String(one));
  return [...new Set(messages)].join(": ");
}

function draw() {
  if (!labels) return;
  const image = context.createImageData(slices.width, slices.height);
  paint(labels, image.data, highlighted);
  context.putImageData(image, 0, 0);
}

async function show(z) {
  const request = ++drawn;
  const started = performance.now();
  try {
    const found = await slices.get(z);
    if (request !== drawn) return; // another slice was asked for in the meantime
    labels = found;
    draw();
    $("place").textContent = `${z} of ${slices.depth}`;
    const { shape, dtype } = slices.array;
    say(`${dtype}, (${shape.join(", ")}); slice in ${Math.round(performance.now() - started)} ms`);
  } catch (error) {
    if (request === drawn) say(explain(error), true);
  }
}

function highlight(label) {
  highlighted = label;
  $("label").value = label === null ? "" : String(label);
  draw();
}

/** The label under the mouse; undefined outside of the slice. */
function labelAt(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
  const isInside = x >= 0 && y >= 0 && x < canvas.width && y < canvas.height;
  return labels && isInside ? labels[y * slices.width + x] : undefined;
}

async function open(url) {
  say(`Opening ${url}`);
  try {
    slices = new Slices(await openLabels(new URL(url, location.href).href));
  } catch (error) {
    say(explain(error), true);
    return;
  }
  labels = undefined;
  highlight(null);
  // Small volumes are magnified by whole numbers.
  const zoom = Math.max(1, Math.floor(768 / Math.max(slices.width, slices.height)));
  Object.assign(canvas, { width: slices.width, height: slices.height });
  canvas.style.width = `${slices.width * zoom}px`;
  $("z").max = slices.depth - 1;
  $("z").value = Math.floor(slices.depth / 2);
  await show(Number($("z").value));
}

$("source").addEventListener("submit", (event) => {
  event.preventDefault();
  open($("url").value);
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("z").addEventListener("input", () => slices && show(Number($("z").value)));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  $("z").value = Number($("z").value) + Math.sign(event.deltaY);
  if (slices) show(Number($("z").value));
});
canvas.addEventListener("click", (event) => {
  const label = labelAt(event);
  if (label !== undefined) highlight(label);
});
canvas.addEventListener("mousemove", (event) => {
  const label = labelAt(event);
  $("under").textContent = label === undefined ? "" : `Label ${label}`;
});
$("label").addEventListener("input", () => {
  const text = $("label").value.trim();
  if (/^-?\d+$/.test(text)) {
    highlighted = BigInt(text);
    draw();
  }
});
$("clear").addEventListener("click", () => highlight(null));

const url = new URLSearchParams(location.search).get("url") ?? "seg.zarr";
$("url").value = url;
open(url);
