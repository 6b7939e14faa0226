// Markup of the player: viewport, poster and error message, controls.

const icon = (paths) => `<svg viewBox="0 0 24 24" aria-hidden="true">${paths}</svg>`;

const ICONS = {
  play: icon(
    '<path class="off fill" d="M8 5.2v13.6L19 12z"/><path class="on fill" d="M7 5.5h3.4v13H7zM13.6 5.5H17v13h-3.4z"/>',
  ),
  // Compass: a ring around the object seen from above; notch = input camera, dot = current camera.
  input: icon(
    '<circle cx="12" cy="12" r="7.5"/><path d="M12 16.8v5.2"/><g data-part="needle"><circle class="fill" cx="12" cy="19.5" r="3"/></g>',
  ),
  rotate: icon(
    '<path d="M15.2 17.6c3.5-.6 5.8-2 5.8-4 0-2.4-4-4.3-9-4.3s-9 1.9-9 4.3 3.6 4 8.2 4.3"/><path d="M8.2 14.6 11.4 18l-3.2 3.2M12 2.6v9"/>',
  ),
  reset: icon('<path d="M4.5 11.2 12 5l7.5 6.2"/><path d="M6.8 9.6V19h10.4V9.6"/>'),
  full: icon('<path d="M4.5 9V4.5H9M15 4.5h4.5V9M19.5 15v4.5H15M9 19.5H4.5V15"/>'),
};

const button = (part, label, key, words = "") => `
  <button type="button" data-part="${part}" aria-label="${label}" title="${label} (${key})"
    ${["play", "reset"].includes(part) ? "" : 'aria-pressed="false"'}>${ICONS[part]}${words && `<span>${words}</span>`}</button>`;

const swatch = (name) => `
  <label title="${name} background (b)"><input type="radio" name="background" value="${name}"
    aria-label="${name}"><i data-background="${name}"></i></label>`;

export const markup = (label) => {
  const spoken = label.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
  return `<div class="player" data-part="player">
  <div class="viewport" data-part="viewport">
    <canvas data-part="canvas" tabindex="0" role="application" aria-roledescription="4D viewer"
      aria-label="${spoken}" aria-describedby="keys"></canvas>
    <img data-part="poster" alt="">
    <p class="wait" data-part="wait" role="status"><i></i>Loading the 4D object</p>
    <p class="hint" data-part="hint" aria-hidden="true" hidden></p>
  </div>
  <figure class="failure" data-part="failure" hidden>
    <video data-part="video" controls loop muted playsinline aria-label="${spoken}: turntable video"></video>
    <figcaption data-part="sentence" role="alert"></figcaption>
  </figure>
  <div class="panel"><div class="controls" data-part="controls" role="group" aria-label="4D player" inert>
    <div class="timeline">
      ${button("play", "Play", "space")}
      <input type="range" data-part="time" min="0" max="1" step="any" value="0" aria-label="Time">
      <output data-part="clock"></output>
    </div>
    <div class="tools">
      ${button("input", "View from the input camera", "i", "Input view")}
      ${button("rotate", "Turn by itself", "a")}
      ${button("reset", "Back to the start", "r")}
      <fieldset><legend>Background</legend>${["white", "grey", "black", "checker"].map(swatch).join("")}</fieldset>
      ${button("full", "Full screen", "f")}
    </div>
  </div></div>
  <p id="keys" hidden>Arrow keys turn the object, plus and minus zoom, space plays and pauses, comma
    and full stop go from frame to frame, I is the input's view, A turns it by itself, B changes the
    background, R goes back to the start, F is full screen.</p>
  <i class="probe" data-part="probe" hidden></i></div>`;
};
