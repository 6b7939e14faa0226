// Records a clip with the camera, as the browser writes it, and hands it to the server.
const LONGEST = 6;  // seconds
const $ = (name) => element.querySelector(name);
let recorder, stream, clock;

const say = (words) => { $("[role=status]").textContent = words; };
const end = () => {
  clearInterval(clock);
  stream?.getTracks().forEach((track) => track.stop());
  $("video").hidden = true;
  $("button").textContent = "Record with the camera";
};
const record = async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia(
      {video: {width: {ideal: 1280}, facingMode: "environment"}, audio: false});
  } catch (error) {
    say("The camera cannot be used: the browser does not allow it, or there is none.");
    return;
  }
  const sight = $("video"), parts = [];
  sight.srcObject = stream;
  sight.hidden = false;
  sight.play();
  recorder = new MediaRecorder(stream, {videoBitsPerSecond: 12e6});
  recorder.ondataavailable = ({data}) => parts.push(data);
  recorder.onstop = async () => {
    end();
    say("Uploading the recording.");
    const kind = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
    const {path} = await upload(new File(parts, `recording.${kind}`, {type: recorder.mimeType}));
    say("");
    trigger("submit", {path});
  };
  recorder.start();
  let left = LONGEST;
  const tick = () => {
    $("button").textContent = `Stop (${left} s left)`;
    if (left-- <= 0) recorder.stop();
  };
  tick();
  clock = setInterval(tick, 1000);
  say("Keep the camera still while the object moves.");
};

element.addEventListener("click", ({target}) => {
  if (target !== $("button")) return;
  if (recorder?.state === "recording") recorder.stop();
  else record();
});
$(".camera").hidden = !(navigator.mediaDevices && window.MediaRecorder);
