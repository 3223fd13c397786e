// A web server for built pages and arrays, and Chromium.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

import { chromium } from "playwright-core";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

const FLAGS = [
  "--no-sandbox",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--ignore-gpu-blocklist",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The first and the last byte of a Range header that a file of 'size' bytes can serve. */
function rangeOf(header, size) {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (first === undefined) return null;
  if (first === "") return [Math.max(0, size - Number(last)), size - 1];
  return [Number(first), last === "" ? size - 1 : Math.min(Number(last), size - 1)];
}

/** Serve a folder on 127.0.0.1, as a static host does: files, 404, and byte ranges. */
export async function serve(folder) {
  const server = createServer((request, response) => {
    const path = join(folder, normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)));
    const file = path.endsWith("/") ? `${path}index.html` : path;
    const found = statSync(file, { throwIfNoEntry: false });
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    const range = rangeOf(request.headers.range, found.size);
    const [start, end] = range ?? [0, found.size - 1];
    const headers = {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Content-Length": end - start + 1,
      "Accept-Ranges": "bytes",
    };
    if (range) headers["Content-Range"] = `bytes ${start}-${end}/${found.size}`;
    response.writeHead(range ? 206 : 200, headers);
    if (request.method === "HEAD") response.end();
    else createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/**
 * Open a page of a folder in Chromium.
 *
 * Returns the page, the addresses of all requests, the errors that the page has logged, and a function that
 * closes all.
 */
export async function openPage(folder, path) {
  const server = await serve(folder);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  const requests = [];
  const errors = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => errors.push(String(error)));
  // A chunk that is not there is the fill value, and a browser logs the answer 404.
  const isAnswer = (text) => text.startsWith("Failed to load resource") && text.includes("404");
  page.on("console", (message) => {
    if (message.type() === "error" && !isAnswer(message.text())) errors.push(message.text());
  });
  const close = async () => {
    await browser.close();
    server.close();
  };
  try {
    await page.goto(`${server.origin}${path}`);
  } catch (error) {
    await close();
    throw error;
  }
  const elsewhere = () =>
    requests.filter((url) => !url.startsWith(server.origin) && !/^(data|blob):/.test(url));
  return { page, origin: server.origin, requests, elsewhere, errors, close };
}
