# Counts forever: the amd64 stand-in for a blinking light.
        .globl reset
reset:
        incl    %eax
        jmp     reset
