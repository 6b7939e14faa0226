// Back-to-front order of Gaussians: a 16-bit counting sort in a worker.

/** The worker. Its source is passed as text, so it must not use anything from outside. */
function worker() {
  const frames = []; // N x 3 uint16 levels of the means, per frame
  let glide = Infinity,
    keys,
    counts;

  onmessage = ({ data }) => {
    if (data.glide !== undefined)
      glide = data.glide; // longest move that is interpolated, in levels
    else if (data.means) frames.push(data.means);
    else {
      const order = sorted(data);
      postMessage({ order }, [order.buffer]);
    }
  };

  function sorted({ before, after, share, forward }) {
    const a = frames[before],
      b = frames[after],
      count = a.length / 3;
    const depths = new Float32Array(count);
    let nearest = Infinity,
      furthest = -Infinity;
    for (let n = 0, i = 0; n < count; n++, i += 3) {
      const x = b[i] - a[i],
        y = b[i + 1] - a[i + 1],
        z = b[i + 2] - a[i + 2];
      const gone = x * x + y * y + z * z > glide * glide ? (share >= 0.5 ? 1 : 0) : share;
      const depth =
        forward[0] * (a[i] + gone * x) +
        forward[1] * (a[i + 1] + gone * y) +
        forward[2] * (a[i + 2] + gone * z);
      depths[n] = depth;
      if (depth < nearest) nearest = depth;
      if (depth > furthest) furthest = depth;
    }
    keys = keys?.length === count ? keys : new Uint16Array(count);
    counts = counts?.fill(0) ?? new Uint32Array(65537);
    const levels = 65535 / Math.max(furthest - nearest, 1e-9);
    for (let n = 0; n < count; n++) {
      keys[n] = (furthest - depths[n]) * levels;
      counts[keys[n] + 1]++;
    }
    for (let key = 0; key < 65536; key++) counts[key + 1] += counts[key];
    const order = new Uint32Array(count);
    for (let n = 0; n < count; n++) order[counts[keys[n]]++] = n;
    return order;
  }
}

export class Sorter {
  constructor() {
    const address = URL.createObjectURL(new Blob([`(${worker})()`], { type: "text/javascript" }));
    this.worker = new Worker(address);
    URL.revokeObjectURL(address);
  }

  /** Set the longest move between two frames that is interpolated, in levels of the means. */
  setGlide(glide) {
    this.worker.postMessage({ glide });
  }

  addFrame(means) {
    this.worker.postMessage({ means }, [means.buffer]);
  }

  /** Order for a moment and viewing direction; at most one request at a time. */
  order(moment, forward) {
    return new Promise((resolve) => {
      this.worker.onmessage = ({ data }) => resolve(data.order);
      this.worker.postMessage({ ...moment, forward });
    });
  }

  close() {
    this.worker.terminate();
  }
}
