// Streaming reader of the packed 4D file (docs/packed_format.md).

const MAGIC = 0x44345344; // "DS4D", little-endian
// By version: bytes per Gaussian and frame. Since version 2 colours change over time.
const FRAME_BYTES = { 1: 13, 2: 16 };
const MOST = 1 << 28; // Gaussians, and bytes of a block

/**
 * Parse the header, then each frame as soon as it is complete.
 *
 * onHeader(header, appearance): appearance is N x 4 bytes, first red, green, blue, and opacity.
 * onFrame(index, texels, means): N x 4 uint32 for the GPU (see renderer.js), and N x 3
 * uint16 levels of the means for sorting. Awaited: a slow consumer slows the reader down.
 */
export async function readPacked(chunks, onHeader, onFrame) {
  const bytes = new Incoming(chunks);
  const start = new DataView((await bytes.take(12)).buffer);
  const frameBytes = FRAME_BYTES[start.getUint32(4, true)];
  if (start.getUint32(0, true) !== MAGIC || !frameBytes) {
    throw new Error("This is not a packed 4D file of this version.");
  }
  const header = parsed(await bytes.take(start.getUint32(8, true)));
  const count = header.gaussians;
  const [first, ...rest] = header.blocks;
  const appearance = appearanceOf(await inflated(await bytes.take(first), 4 * count), count);
  onHeader(header, appearance);
  const state = {
    means: new Int32Array(3 * count),
    quats: new Uint8Array(4 * count),
    scales: new Uint8Array(3 * count),
    colors: Uint8Array.from({ length: 3 * count }, (_, i) => appearance[4 * ((i / 3) | 0) + (i % 3)]),
  };
  for (let index = 0; index < rest.length; index++) {
    addDifferences(
      state,
      await inflated(await bytes.take(rest[index]), frameBytes * count),
      count,
    );
    await onFrame(index, texelsOf(state, count), Uint16Array.from(state.means));
  }
}

/** Chunks of a file: from a URL, or from the base64 text of an element of this page. */
export async function* chunksOf(source, signal) {
  if (source.startsWith("#")) {
    const text = document.querySelector(source).textContent.trim();
    for (let at = 0; at < text.length; at += 1 << 18) {
      // a multiple of four letters
      yield Uint8Array.from(atob(text.slice(at, at + (1 << 18))), (letter) => letter.charCodeAt(0));
    }
    return;
  }
  const response = await fetch(source, { signal });
  if (!response.ok) throw new Error(`The 4D file cannot be loaded (${response.status}).`);
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

class Incoming {
  constructor(chunks) {
    this.chunks = chunks;
    this.waiting = []; // chunks not consumed yet
    this.held = 0; // bytes in them
  }

  /** Take the next `count` bytes once they have arrived, in a buffer of their own. */
  async take(size) {
    while (this.held < size) {
      const { value, done } = await this.chunks.next();
      if (done) throw new Error("The 4D file is cut off.");
      this.waiting.push(value);
      this.held += value.length;
    }
    const taken = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const chunk = this.waiting[0];
      const part = chunk.subarray(0, size - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) this.waiting.shift();
      else this.waiting[0] = chunk.subarray(part.length);
    }
    this.held -= size;
    return taken;
  }
}

const damage = () => new Error("The 4D file is damaged.");

/** The header, whose numbers decide what is reserved and read. */
function parsed(bytes) {
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw damage();
  }
  const { gaussians, blocks } = header ?? {};
  const sizes = [gaussians, ...(Array.isArray(blocks) ? blocks : [0])];
  if (!sizes.every((size) => Number.isInteger(size) && size > 0 && size < MOST)) throw damage();
  return header;
}

async function inflated(block, size) {
  let bytes;
  try {
    const stream = new Blob([block]).stream().pipeThrough(new DecompressionStream("deflate"));
    bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw damage(); // in the words of the decoder otherwise
  }
  if (bytes.length !== size) throw damage();
  return bytes;
}

function appearanceOf(planes, count) {
  const appearance = new Uint8Array(4 * count);
  for (let n = 0; n < count; n++) {
    for (let channel = 0; channel < 4; channel++)
      appearance[4 * n + channel] = planes[channel * count + n];
  }
  return appearance;
}

const unzigzag = (number) => (number >>> 1) ^ -(number & 1);

function addDifferences({ means, quats, scales, colors }, planes, count) {
  const colored = planes.length > FRAME_BYTES[1] * count;
  for (let n = 0; n < count; n++) {
    for (let axis = 0; axis < 3; axis++) {
      const high = planes[axis * count + n],
        low = planes[(3 + axis) * count + n];
      means[3 * n + axis] += unzigzag((high << 8) | low);
      scales[3 * n + axis] += unzigzag(planes[(10 + axis) * count + n]);
      if (colored) colors[3 * n + axis] += unzigzag(planes[(13 + axis) * count + n]);
    }
    for (let part = 0; part < 4; part++)
      quats[4 * n + part] += unzigzag(planes[(6 + part) * count + n]);
  }
}

/** x | y << 16, z | scale x << 16 | scale y << 24, quaternion w x y z from the lowest byte, and
 * scale z, red, green, blue from the lowest byte. */
function texelsOf({ means, quats, scales, colors }, count) {
  const texels = new Uint32Array(4 * count);
  for (let n = 0; n < count; n++) {
    texels[4 * n] = means[3 * n] | (means[3 * n + 1] << 16);
    texels[4 * n + 1] = means[3 * n + 2] | (scales[3 * n] << 16) | (scales[3 * n + 1] << 24);
    texels[4 * n + 2] =
      quats[4 * n] | (quats[4 * n + 1] << 8) | (quats[4 * n + 2] << 16) | (quats[4 * n + 3] << 24);
    texels[4 * n + 3] =
      scales[3 * n + 2] | (colors[3 * n] << 8) | (colors[3 * n + 1] << 16) | (colors[3 * n + 2] << 24);
  }
  return texels;
}
