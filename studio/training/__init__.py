"""Training: how the bundled checkpoints and voices are made.

Importing this room makes torchaudio importable, and lets the process keep the memory it frees.
"""

from studio.torchaudio_on_cpu import make_torchaudio_importable
from studio.training.allocator import keep_freed_memory

make_torchaudio_importable()
keep_freed_memory()
