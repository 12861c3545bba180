"""Speaking of texts with eSpeak NG: a program of its own, which imports nothing of this package.

It reads a request as JSON from its input, and writes to its output the sampling rate (uint32), then for each
text the number of samples (uint32) and the samples (int16), all in the machine's byte order.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from typing import Any

SYNCHRONOUS, DO_NOT_EXIT = 2, 0x8000
RATE, PITCH = 1, 3
AT_CHARACTER, UTF8 = 1, 1

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main() -> None:
    """Speak the texts of a request one after the other, each with a seed of its own."""
    request: dict[str, Any] = json.load(sys.stdin)
    # Whatever the library prints, the answer stays whole.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    library = ctypes.CDLL(request["library"])
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(request["data"]), DO_NOT_EXIT)
    if rate <= 0:
        sys.exit("the library finds no data")
    spoken = bytearray()

    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            spoken.extend(ctypes.string_at(samples, 2 * count))
        return 0

    callback = CALLBACK(take)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(request["voice"].encode()):
        sys.exit(f"there is no voice '{request['voice']}'")
    answer.write(struct.pack("=I", rate))
    for seed, (text, speed, pitch) in enumerate(request["texts"], 1):
        library.espeak_ng_SetRandSeed(seed)
        library.espeak_SetParameter(RATE, speed, 0)
        library.espeak_SetParameter(PITCH, pitch, 0)
        content = text.encode() + b"\0"
        spoken.clear()
        if library.espeak_Synth(content, len(content), 0, AT_CHARACTER, 0, UTF8, None, None):
            sys.exit(f"'{text}' cannot be spoken")
        answer.write(struct.pack("=I", len(spoken) // 2) + spoken)
    answer.close()


if __name__ == "__main__":
    main()
