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

export default defineConfig({
  base: "./", // the built page works in any folder of a web server
  plugins: [crackle(), icons(), workers()],
  worker: { format: "es", plugins: () => [crackle(), workers()] },
  build: { target: "es2022", chunkSizeWarningLimit: 10_000 },
  // The transform sees the files of Neuroglancer only if they are not bundled beforehand.
  optimizeDeps: { exclude: ["neuroglancer"], include: ["neuroglancer > codemirror"] },
});
