// The half of the plug-in for the worker: chunks.

import { decodeChunk } from "crackle-zarr";
import { CodecKind } from "neuroglancer/unstable/datasource/zarr/codec/index.js";
import { registerCodec } from "neuroglancer/unstable/datasource/zarr/codec/decode.js";
import { DataType } from "neuroglancer/unstable/util/data_type.js";

registerCodec({
  name: "crackle",
  kind: CodecKind.arrayToBytes,
  decode(_configuration, { chunkShape, dataType }, encoded) {
    return decodeChunk(encoded, { shape: chunkShape, dtype: DataType[dataType].toLowerCase() });
  },
});
