"""Print where a firmware image lies in memory and a checksum of its bytes."""

import sys
import zlib

from intelhex import IntelHex

image = IntelHex(sys.argv[1])
print(f"{image.minaddr():#x}..{image.maxaddr():#x} crc {zlib.crc32(image.tobinstr()):08x}")
