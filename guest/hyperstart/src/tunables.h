/* What the kernel decided by the size of a small machine, and programs expect otherwise. */
#pragma once

/* Sets the kernel's tunables to what a program finds on a server; /proc is mounted. */
void tunables_set(void);
