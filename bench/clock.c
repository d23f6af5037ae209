/* Runs in the guest. For each byte it reads it says what the time is there: "TSC BOOTTIME_NS\n".
 * Under emulation the counter starts at 0 with the machine's first instruction. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

int main(void)
{
    char byte;
    while (read(0, &byte, 1) == 1) {
        struct timespec now;
        clock_gettime(CLOCK_BOOTTIME, &now);
        dprintf(1, "%llu %lld\n", (unsigned long long)__rdtsc(), now.tv_sec * 1000000000LL + now.tv_nsec);
    }
    return 0;
}
