// WebGL2 renderer: one quad per Gaussian, back to front, premultiplied alpha over a clear canvas.
// An instance is a row of quads, because the overhead per instance is high, above all in software
// renderers. Projection, low-pass filter and cut-offs match ds4d.splatting.rasterize.

import { axes, projection } from "./camera.js";

const TEXTURE_WIDTH = 1024;
const QUADS = 256; // per instance

const VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D before, after, order;
uniform sampler2D appearance;
uniform float share, glide, meanStep, scaleOrigin, scaleStep, focal, radius;
uniform vec3 meanOrigin, target;
uniform mat3 toCamera;
uniform vec2 size, shift;
uniform int count;
uniform bool antialiased;
out vec2 place;   // in standard deviations
flat out vec4 color;

const float NEAR = 0.01, BLUR = 0.3, MARGIN = 0.15, SMALLEST = 1.0 / 255.0, LEAST = 0.005;

struct Gaussian { vec3 levels; vec4 quat; vec3 scales; vec3 color; };

Gaussian unpack(uvec4 t) {
  vec4 quat = vec4((ivec4(t.b) << ivec4(24, 16, 8, 0)) >> 24);
  return Gaussian(
    vec3(t.r & 0xffffu, t.r >> 16, t.g & 0xffffu),
    quat / length(quat),
    vec3((t.g >> 16) & 0xffu, t.g >> 24, t.a & 0xffu),
    vec3((t.a >> 8) & 0xffu, (t.a >> 16) & 0xffu, t.a >> 24) / 255.0
  );
}

mat3 rotation(vec4 q) {
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)
  );
}

void main() {
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // outside the clip volume: culled
  int turn = gl_InstanceID * ${QUADS} + (gl_VertexID >> 2);
  if (turn >= count) return;
  int index = int(texelFetch(order, ivec2(turn % ${TEXTURE_WIDTH}, turn / ${TEXTURE_WIDTH}), 0).r);
  ivec2 texel = ivec2(index % ${TEXTURE_WIDTH}, index / ${TEXTURE_WIDTH});
  Gaussian a = unpack(texelFetch(before, texel, 0)), b = unpack(texelFetch(after, texel, 0));
  // Means are interpolated, except for long moves, which switch halfway.
  float gone = distance(a.levels, b.levels) > glide ? step(0.5, share) : share;
  vec3 mean = meanOrigin + meanStep * mix(a.levels, b.levels, gone);
  vec3 scales = exp(scaleOrigin + scaleStep * mix(a.scales, b.scales, gone));
  vec4 quat = normalize(mix(a.quat, b.quat, gone));
  color = vec4(mix(a.color, b.color, gone), texelFetch(appearance, texel, 0).a);

  vec3 p = toCamera * (mean - target) + vec3(0.0, 0.0, radius);
  if (p.z <= NEAR || color.a < SMALLEST) return;
  mat3 inCamera = transpose(toCamera * rotation(quat)); // columns: camera axes in Gaussian space
  vec2 limit = (0.5 + MARGIN) * size / focal;
  vec2 slope = clamp(p.xy / p.z, -limit, limit);
  vec3 rootX = focal / p.z * (inCamera[0] - slope.x * inCamera[2]) * scales;
  vec3 rootY = focal / p.z * (inCamera[1] - slope.y * inCamera[2]) * scales;
  float xx = dot(rootX, rootX), yy = dot(rootY, rootY), xy = dot(rootX, rootY);
  float sharp = xx * yy - xy * xy;
  xx += BLUR;
  yy += BLUR;
  if (antialiased) color.a *= sqrt(max(sharp / (xx * yy - xy * xy), LEAST * LEAST));
  if (color.a < SMALLEST) return;

  float middle = 0.5 * (xx + yy), spread = length(vec2(0.5 * (xx - yy), xy));
  float longest = middle + spread, shortest = max(middle - spread, BLUR);
  float tilt = 0.5 * atan(2.0 * xy, xx - yy);
  vec2 major = vec2(cos(tilt), sin(tilt)), minor = vec2(-major.y, major.x);
  float reach = sqrt(2.0 * log(color.a / SMALLEST)) + 1e-3;
  place = reach * (2.0 * vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) - 1.0);
  vec2 pixel = shift + focal * p.xy / p.z + place.x * sqrt(longest) * major + place.y * sqrt(shortest) * minor;
  gl_Position = vec4(2.0 * pixel / size * vec2(1.0, -1.0), 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
flat in vec4 color;
out vec4 pixel;
void main() {
  float alpha = min(color.a * exp(-0.5 * dot(place, place)), 0.99);
  if (alpha < 1.0 / 255.0) discard;
  pixel = vec4(color.rgb * alpha, alpha);
}`;

export class Renderer {
  /** Throws if the browser has no WebGL2. */
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", {
      alpha: true,
      premultipliedAlpha: true,
      antialias: false,
      depth: false,
      powerPreference: "high-performance",
    });
    if (!this.gl) throw new Error("This browser cannot draw in 3D (WebGL2 is missing).");
    this.frames = []; // texels of each frame, for a restored context
    this.prepare();
  }

  /** Create all GPU state; called again after a lost context was restored. */
  prepare() {
    const { gl } = this;
    this.program = compile(gl);
    gl.useProgram(this.program);
    this.at = {};
    for (let i = 0; i < gl.getProgramParameter(this.program, gl.ACTIVE_UNIFORMS); i++) {
      const { name } = gl.getActiveUniform(this.program, i);
      this.at[name] = gl.getUniformLocation(this.program, name);
    }
    ["before", "after", "appearance", "order"].forEach((name, unit) =>
      gl.uniform1i(this.at[name], unit),
    );
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(gl.createVertexArray());
    const corners = Uint16Array.from(
      { length: 6 * QUADS },
      (_, i) => 4 * Math.floor(i / 6) + [0, 1, 2, 2, 1, 3][i % 6],
    );
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    this.textures = [];
    this.fences = [];
    if (this.header) this.setHeader(this.header, this.appearance);
    this.frames.forEach((texels) => this.upload(texels));
  }

  setHeader(header, appearance) {
    const { gl, at } = this;
    Object.assign(this, { header, appearance });
    gl.uniform3fv(at.meanOrigin, header.means.origin);
    gl.uniform1f(at.meanStep, header.means.step);
    gl.uniform1f(at.scaleOrigin, header.log_scales.origin);
    gl.uniform1f(at.scaleStep, header.log_scales.step);
    gl.uniform1f(at.glide, header.longest_glide / header.means.step);
    gl.uniform1i(at.count, header.gaussians);
    gl.uniform1i(at.antialiased, header.antialiased ? 1 : 0);
    this.orderTexture = texture(
      gl,
      header.gaussians,
      gl.R32UI,
      gl.RED_INTEGER,
      gl.UNSIGNED_INT,
      new Uint32Array(header.gaussians),
    );
    this.appearanceTexture = texture(gl, header.gaussians, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, appearance);
  }

  addFrame(texels) {
    this.frames.push(texels);
    this.upload(texels);
  }

  upload(texels) {
    const { gl } = this;
    this.textures.push(
      texture(gl, this.header.gaussians, gl.RGBA32UI, gl.RGBA_INTEGER, gl.UNSIGNED_INT, texels),
    );
  }

  /** Draw a moment { before, after, share } in an order, far to near, within a frame or null. */
  draw(camera, { before, after, share }, order, frame) {
    const { gl, at } = this;
    const { width, height } = this.canvas;
    gl.viewport(0, 0, width, height);
    gl.uniform2f(at.size, width, height);
    const { focal, shift } = projection(camera, frame, width, height);
    gl.uniform1f(at.focal, focal);
    gl.uniform2fv(at.shift, shift);
    gl.uniform1f(at.radius, camera.radius);
    gl.uniform3fv(at.target, camera.target);
    gl.uniformMatrix3fv(at.toCamera, true, axes(camera).flat());
    gl.uniform1f(at.share, share);
    [this.textures[before], this.textures[after], this.appearanceTexture, this.orderTexture].forEach(
      (name, unit) => {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(gl.TEXTURE_2D, name);
      },
    );
    fill(gl, order, gl.RED_INTEGER, gl.UNSIGNED_INT); // the texture that was bound last
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.drawElementsInstanced(
      gl.TRIANGLES,
      6 * QUADS,
      gl.UNSIGNED_SHORT,
      0,
      Math.ceil(order.length / QUADS),
    );
    this.fences.push(gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0));
    gl.flush();
  }

  /** Number of frames that the GPU has not finished. */
  outstanding() {
    const { gl, fences } = this;
    if (gl.isContextLost()) return 0;
    while (fences.length && gl.getSyncParameter(fences[0], gl.SYNC_STATUS) === gl.SIGNALED)
      gl.deleteSync(fences.shift());
    return fences.length;
  }

  /** Read back the frame just drawn: premultiplied RGBA, rows from the top. */
  pixels() {
    const { gl } = this;
    const { width, height } = this.canvas;
    const upsideDown = new Uint8Array(4 * width * height),
      data = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upsideDown);
    for (let y = 0; y < height; y++) {
      data.set(
        upsideDown.subarray(4 * width * (height - 1 - y), 4 * width * (height - y)),
        4 * width * y,
      );
    }
    return { width, height, data };
  }

  close() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function compile(gl) {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(
      `The shaders do not compile: ${logs.join(" ")} ${gl.getProgramInfoLog(program)}`,
    );
  }
  return program;
}

/** Create a texture with one texel per Gaussian, in rows of TEXTURE_WIDTH. */
function texture(gl, count, internal, format, type, numbers) {
  gl.activeTexture(gl.TEXTURE0);
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texStorage2D(gl.TEXTURE_2D, 1, internal, TEXTURE_WIDTH, Math.ceil(count / TEXTURE_WIDTH));
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  fill(gl, numbers, format, type);
  return made;
}

/** Fill the bound texture: full rows first, then the remainder. */
function fill(gl, numbers, format, type) {
  const per = format === gl.RED_INTEGER ? 1 : 4;
  const rows = Math.floor(numbers.length / (per * TEXTURE_WIDTH)),
    full = rows * per * TEXTURE_WIDTH;
  const left = (numbers.length - full) / per;
  if (rows) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, rows, format, type, numbers, 0);
  if (left) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, rows, left, 1, format, type, numbers, full);
}
