// The half of the plug-in for the page: what the metadata of an array say about its chunks.

import { CodecKind } from "neuroglancer/unstable/datasource/zarr/codec/index.js";
import { registerCodec } from "neuroglancer/unstable/datasource/zarr/codec/resolve.js";

registerCodec({
  name: "crackle",
  kind: CodecKind.arrayToBytes,
  resolve() {
    return { configuration: {} }; // a stream describes itself
  },
  getDecodedArrayLayoutInfo(_configuration, { chunkShape }) {
    return { physicalToLogicalDimension: Array.from(chunkShape, (_, i) => i), readChunkShape: chunkShape };
  },
});
