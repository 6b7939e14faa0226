// How sharp pictures are while something moves: with fewer pixels where the browser is slow.

const SHARPNESS = [1, 0.8, 0.64, 0.5, 0.4]; // of the resolution
const SLOW = 45; // ms from picture to picture: less sharp above
const FAST = 20; // sharper below
const KEPT = 120; // intervals

export class AdaptiveResolution {
  level = 0; // of SHARPNESS
  streak = 0; // slow (+) or fast (-) pictures one after the other
  intervals = []; // ms between the last pictures

  get sharpness() {
    return SHARPNESS[this.level];
  }

  /** A picture came so many ms after the one before it. */
  add(interval) {
    const last = SHARPNESS.length - 1;
    this.intervals = [...this.intervals.slice(1 - KEPT), interval];
    if (interval > SLOW) this.streak = Math.max(this.streak, 0) + 1;
    else if (interval < FAST) this.streak = Math.min(this.streak, 0) - 1;
    else this.streak = 0;
    if (interval > 4 * SLOW) this.level = last;
    else if (this.streak >= 3) this.shift(1, last);
    else if (this.streak <= -45) this.shift(-1, last);
  }

  shift(step, last) {
    this.level = Math.min(Math.max(this.level + step, 0), last);
    this.streak = 0;
  }
}
