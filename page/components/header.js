// Visitors who prefer reduced motion start videos by hand.
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const pause = (video) => {
    if (!video.autoplay || navigator.userActivation?.isActive) return;
    video.pause();
    video.currentTime = 0;
  };
  document.querySelectorAll("video").forEach(pause);
  document.addEventListener("play", ({target}) => pause(target), true);
}
