// Neuroglancer with the plug-in, built, in Chromium: the labels under the mouse are those of the array.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { openPage } from "./browser.mjs";

const SITE = process.env.CRACKLE_SITE;
const SHOTS = process.env.CRACKLE_SHOTS;
const [HEIGHT, WIDTH] = [96, 128];

/** The label under the mouse, in the only layer. */
function labelUnderMouse() {
  const { layerManager, layerSelectedValues } = window.viewer;
  return String(layerSelectedValues.get(layerManager.managedLayers[0].layer)?.value);
}

for (const name of ["seg", "wide"]) {
  test(`labels under the mouse: ${name}`, async () => {
    const bytes = readFileSync(join(SITE, `${name}.raw`));
    const label = (z, y, x) => {
      const at = (z * HEIGHT + y) * WIDTH + x;
      return name === "wide" ? bytes.readBigUInt64LE(8 * at) : BigInt(bytes.readUInt32LE(4 * at));
    };
    const { page, elsewhere, errors, close } = await openPage(SITE, `/neuroglancer/?url=../${name}.zarr`);
    try {
      await page.waitForFunction(() => window.viewer?.navigationState.position.valid);
      const panel = await page.locator(".neuroglancer-rendered-data-panel").first().boundingBox();
      for (const z of [3, 17]) {
        // Four pixels per voxel, and the centre of the slice in the middle.
        await page.evaluate(
          (position) => {
            const { navigationState } = window.viewer;
            navigationState.position.value = Float32Array.from(position);
            navigationState.zoomFactor.value = 0.25;
          },
          [WIDTH / 2, HEIGHT / 2, z + 0.5],
        );
        for (const [y, x] of [
          [20, 30],
          [48, 64],
          [70, 100],
          [90, 5],
        ]) {
          const right = panel.x + panel.width / 2 + (x + 0.5 - WIDTH / 2) * 4;
          const down = panel.y + panel.height / 2 + (y + 0.5 - HEIGHT / 2) * 4;
          const wanted = String(label(z, y, x));
          let found;
          // The label is looked up when the mouse moves; chunks may still be under way.
          for (let tries = 0; tries < 200 && found !== wanted; tries++) {
            await page.mouse.move(right + (tries % 2), down);
            await page.waitForTimeout(100);
            found = await page.evaluate(labelUnderMouse);
          }
          assert.equal(found, wanted, `(${z}, ${y}, ${x})`);
        }
      }
      if (SHOTS) await page.screenshot({ path: join(SHOTS, `neuroglancer_${name}.png`) });
      assert.deepEqual(elsewhere(), []);
      assert.deepEqual(errors, []);
    } finally {
      await close();
    }
  });
}
