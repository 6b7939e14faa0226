"""Many clips on one machine or on a Ray cluster: a task per stage of a clip, nothing is lost."""
