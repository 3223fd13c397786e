import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

const here = (file) => fileURLToPath(new URL(file, import.meta.url)).replaceAll("\\", "/");

/**
 * Neuroglancer has two registries of Zarr codecs: the page resolves metadata, and a worker decodes chunks.
 * Each half of the plug-in is imported where Neuroglancer registers the same half of its own codec "bytes".
 */
function crackle() {
  const halves = [
    ["neuroglancer/lib/datasource/zarr/codec/bytes/resolve.js", here("crackle_resolve.js")],
    ["neuroglancer/lib/datasource/zarr/codec/bytes/decode.js", here("crackle_decode.js")],
  ];
  return {
    name: "crackle",
    transform(code, id) {
      const half = halves.find(([file]) => id.split("?")[0].replaceAll("\\", "/").endsWith(file));
      return half && { code: `${code}\nimport ${JSON.stringify(half[1])};\n`, map: null };
    },
  };
}

/** Neuroglancer takes ikonate from GitHub. package.json replaces it by npm's release, which lacks three icons. */
function icons() {
  const missing = ["code-alt", "controls-alt", "layers"];
  return {
    name: "icons",
    enforce: "pre",
    resolveId(id) {
      const name = missing.find((one) => id === `ikonate/icons/${one}.svg?raw`);
      return name && `${here(`icons/${name}.svg`)}?raw`;
    },
  };
}

/** Vite finds a worker only if no comment stands between "new Worker(" and its address. */
function workers() {
  return {
    name: "workers",
    enforce: "pre",
    transform(code, id) {
      if (id.includes("/neuroglancer/lib/") && code.includes("new Worker("))
        return { code: code.replaceAll(/\/\* webpackChunkName.*?\*\//g, ""), map: null };
    },
  };
}

const COMMON_JS = [
  "codemirror",
  "codemirror/addon/fold/brace-fold.js",
  "codemirror/addon/fold/foldcode.js",
  "codemirror/addon/fold/foldgutter.js",
  "codemirror/addon/lint/lint.js",
  "codemirror/mode/javascript/javascript.js",
  "core-js/actual/symbol/async-dispose.js",
  "core-js/actual/symbol/dispose.js",
  "crc-32",
  "crc-32/crc32c.js",
  "nifti-reader-js",
];

export default defineConfig({
  base: "./", // the built page works in any folder of a web server
  plugins: [crackle(), icons(), workers()],
  worker: { format: "es", plugins: () => [crackle(), workers()] },
  build: { target: "es2022", chunkSizeWarningLimit: 10_000 },
  // "vite dev" bundles dependencies beforehand, where the transforms do not see them. So Neuroglancer is
  // excluded, but those of its dependencies that are no modules have to be bundled.
  optimizeDeps: { exclude: ["neuroglancer"], include: COMMON_JS.map((name) => `neuroglancer > ${name}`) },
});
