"""Engine: conversations to codes. Importing this room makes torchaudio importable, which transformers wants."""

from studio.torchaudio_on_cpu import make_torchaudio_importable

make_torchaudio_importable()
