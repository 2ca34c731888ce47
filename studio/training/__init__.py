"""Training: how the bundled checkpoints and voices are made. Importing this room makes torchaudio importable."""

from studio.torchaudio_on_cpu import make_torchaudio_importable

make_torchaudio_importable()
