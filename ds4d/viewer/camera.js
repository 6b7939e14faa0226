// Orbit camera: z is up, azimuth 0 is the front, positive azimuth moves to the right side of the
// front image, positive elevation looks down. Angles in degrees; it faces its target at a distance
// of `radius`.

// Degrees, and radii relative to the start's.
const LIMITS = { elevation: 89, nearest: 0.35, furthest: 3 };

const RADIANS = Math.PI / 180;

/** Rows of the world-to-camera rotation: right, down, forward. */
export function axes({ azimuth, elevation }) {
  const sa = Math.sin(azimuth * RADIANS),
    ca = Math.cos(azimuth * RADIANS);
  const se = Math.sin(elevation * RADIANS),
    ce = Math.cos(elevation * RADIANS);
  return [
    [ca, sa, 0],
    [se * sa, -se * ca, -ce],
    [-ce * sa, ce * ca, -se],
  ];
}

/** Pixels per unit at depth 1; the field of view spans the shorter side of the picture. */
export function focalLength({ fov }, width, height) {
  return Math.min(width, height) / 2 / Math.tan((fov * RADIANS) / 2);
}

/** Focal length in a canvas, and the place of the picture's middle from the canvas's, in pixels.
 *
 * Without a frame the square that the camera shows fills the canvas; with one, the frame around it
 * does, as far as its share says. */
export function projection(camera, frame, width, height) {
  const focal = focalLength(camera, width, height);
  if (!frame) return { focal, shift: [0, 0] };
  const side = Math.min(width, height);
  const within = Math.min(width / frame.width, height / frame.height); // the square in the frame
  const shown = side * (within / side) ** frame.share;
  return { focal: (focal * shown) / side, shift: frame.middle.map((x) => frame.share * shown * x) };
}

/** Clamp to the limits: radius relative to the start's, elevation short of the poles. */
export function limited(camera, start) {
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  return {
    ...camera,
    elevation: clamp(camera.elevation, -LIMITS.elevation, LIMITS.elevation),
    radius: clamp(camera.radius, LIMITS.nearest * start.radius, LIMITS.furthest * start.radius),
  };
}

/** Interpolate between two cameras, along the shorter arc. */
export function between(from, to, share) {
  const mix = (name) => from[name] + share * (to[name] - from[name]);
  const turn = ((((to.azimuth - from.azimuth + 540) % 360) + 360) % 360) - 180;
  return {
    azimuth: from.azimuth + share * turn,
    elevation: mix("elevation"),
    radius: mix("radius"),
    fov: mix("fov"),
    target: from.target.map((value, axis) => value + share * (to.target[axis] - value)),
  };
}
