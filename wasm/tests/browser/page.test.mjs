// The example page, built, in Chromium: slices have the right labels in their colours, and a click picks a
// label.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { colorOf, halves } from "../../examples/page/colors.js";
import { openPage } from "./browser.mjs";

const SITE = process.env.CRACKLE_SITE;
const SHOTS = process.env.CRACKLE_SHOTS;
const [DEPTH, HEIGHT, WIDTH] = [24, 96, 128];

function voxels(name) {
  const bytes = readFileSync(join(SITE, `${name}.raw`));
  const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return name === "wide" ? new BigUint64Array(whole) : new Uint32Array(whole);
}

/** The colours on the canvas, as arrays of red, green and blue. */
function pixels(page) {
  return page.evaluate(() => {
    const canvas = document.getElementById("slice");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return Array.from({ length: data.length / 4 }, (_, i) => [data[4 * i], data[4 * i + 1], data[4 * i + 2]]);
  });
}

function assertColors(found, labels, highlighted = null) {
  assert.equal(found.length, labels.length);
  for (let i = 0; i < labels.length; i++) {
    const dim = highlighted === null || labels[i] === highlighted ? 1 : 0.2;
    const wanted = colorOf(...halves(labels[i])).map((value) => value * dim);
    for (let c = 0; c < 3; c++)
      assert.ok(Math.abs(found[i][c] - wanted[c]) <= 1, `pixel ${i}: ${found[i]}, not ${wanted}`);
  }
}

async function shown(page, z) {
  await page.waitForFunction(
    (text) => document.getElementById("place").textContent === text,
    `${z} of ${DEPTH}`,
  );
}

for (const name of ["seg", "wide"]) {
  test(`slices and picking: ${name}`, async () => {
    const { page, elsewhere, errors, close } = await openPage(SITE, `/page/?url=../${name}.zarr`);
    try {
      const all = voxels(name);
      const slice = (z) => all.subarray(z * HEIGHT * WIDTH, (z + 1) * HEIGHT * WIDTH);
      await shown(page, 12);
      assertColors(await pixels(page), slice(12));

      await page.fill("#z", "20");
      await shown(page, 20);
      assertColors(await pixels(page), slice(20));

      const box = await page.locator("#slice").boundingBox();
      const [x, y] = [70, 40];
      const place = { x: ((x + 0.5) / WIDTH) * box.width, y: ((y + 0.5) / HEIGHT) * box.height };
      const label = slice(20)[y * WIDTH + x];
      await page.hover("#slice", { position: place });
      assert.equal(await page.textContent("#under"), `Label ${label}`);
      await page.click("#slice", { position: place });
      assert.equal(await page.inputValue("#label"), String(label));
      assertColors(await pixels(page), slice(20), label);
      if (SHOTS) await page.screenshot({ path: join(SHOTS, `page_${name}.png`) });

      await page.fill("#label", String(slice(20)[0]));
      assertColors(await pixels(page), slice(20), slice(20)[0]);
      await page.click("#clear");
      assertColors(await pixels(page), slice(20));
      assert.deepEqual(elsewhere(), []);
      assert.deepEqual(errors, []);
    } finally {
      await close();
    }
  });
}

test("errors are shown", async () => {
  const { page, close } = await openPage(SITE, "/page/?url=../damaged.zarr");
  try {
    await page.waitForSelector("#status.error");
    assert.match(await page.textContent("#status"), /not a sound Crackle stream: .*section: /);
    await page.fill("#url", "../nothing.zarr");
    await page.click("#source button");
    await page.waitForFunction(() =>
      /nothing|not found/i.test(document.getElementById("status").textContent),
    );
    await page.fill("#url", "../seg.zarr");
    await page.click("#source button");
    await shown(page, 12);
    assert.equal(await page.locator("#status.error").count(), 0);
  } finally {
    await close();
  }
});
