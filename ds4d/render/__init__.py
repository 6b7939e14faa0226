"""Videos of a 4D asset: turntables, camera paths, comparison with the input."""

STILL_AZIMUTHS = {"front": 0.0, "back": 180.0, "left": -90.0, "right": 90.0}  # degrees
VIDEOS = ("orbit", *STILL_AZIMUTHS, "bullet")  # names of the videos of every run
