// Resolution of frames in motion, lowered where the browser is slow.

const SHARPNESS = [1, 0.8, 0.64, 0.5, 0.4]; // fractions of the full resolution
const SLOW = 45; // ms between frames: lower the resolution above
const FAST = 20; // ms between frames: raise the resolution below
const KEPT = 120; // intervals remembered

export class AdaptiveResolution {
  level = 0; // index into SHARPNESS
  streak = 0; // consecutive slow (+) or fast (-) frames
  intervals = []; // ms between recent frames

  get sharpness() {
    return SHARPNESS[this.level];
  }

  /** Record the interval between two frames, ms. */
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
