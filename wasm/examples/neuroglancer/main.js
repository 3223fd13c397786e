// Neuroglancer with the Crackle plug-in of vite.config.js: "?url=https://example.org/seg.zarr" opens an
// array.

import "neuroglancer";
import { setupDefaultViewer } from "neuroglancer/unstable/ui/default_viewer_setup.js";

const viewer = setupDefaultViewer();
const url = new URLSearchParams(location.search).get("url");

/** Show an array as a segmentation, with its last axis from left to right. */
async function open(address) {
  const folder = `${address.replace(/\/$/, "")}/`;
  const state = {
    layers: [{ type: "segmentation", name: "seg", source: `${folder}|zarr3:`, tab: "segments" }],
  };
  const metadata = await (await fetch(`${folder}zarr.json`)).json();
  const names = metadata.dimension_names ?? [];
  if (names.length === 3 && names.every(Boolean)) {
    state.dimensions = Object.fromEntries(names.reverse().map((name) => [name, [1, ""]]));
    state.layout = "xy";
  }
  viewer.state.restoreState(state);
}

// Neuroglancer keeps its state behind the "#" of the address.
if (url && !location.hash) open(new URL(url, location.href).href);
