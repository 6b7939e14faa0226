// Records a clip with the webcam and uploads it as the browser wrote it.
const LONGEST = 6;  // seconds
const $ = (name) => element.querySelector(name);
let recorder, stream, clock;

const report = (text) => { $("[role=status]").textContent = text; };
const end = () => {
  clearInterval(clock);
  stream?.getTracks().forEach((track) => track.stop());
  $("video").hidden = true;
  $("button").textContent = "Record with the webcam";
};
const record = async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia(
      {video: {width: {ideal: 1280}, facingMode: "environment"}, audio: false});
  } catch (error) {
    report("The webcam cannot be used: there is none, or the browser does not allow it.");
    return;
  }
  const preview = $("video"), parts = [];
  preview.srcObject = stream;
  preview.hidden = false;
  preview.play();
  recorder = new MediaRecorder(stream, {videoBitsPerSecond: 12e6});
  recorder.ondataavailable = ({data}) => parts.push(data);
  recorder.onstop = async () => {
    end();
    report("Uploading the recording...");
    const kind = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
    const {path} = await upload(new File(parts, `recording.${kind}`, {type: recorder.mimeType}));
    report("");
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
  report("Keep the camera still while the object moves.");
};

element.addEventListener("click", ({target}) => {
  if (target !== $("button")) return;
  if (recorder?.state === "recording") recorder.stop();
  else record();
});
$(".camera").hidden = !(navigator.mediaDevices && window.MediaRecorder);
