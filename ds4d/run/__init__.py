"""The run around the stages: folder, content keys, events, engines, device, estimate."""
