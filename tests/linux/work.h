/* Small programs for Linux guests, all in one file: `work NAME ARGS`. Built by tests/support/tools_image.ts. */
#ifndef WORK_H
#define WORK_H

/* Writes files to DIRECTORY until the machine dies, and prints the number of each once it is on the disk. */
int files(int argc, char **argv);
/* Fills memory with a pattern, reads it back, and counts the pages on each side of the hole below 4 GiB. */
int memory(int argc, char **argv);
/* Pins work to each CPU in turn, and passes the clock around between them. */
int cpus(int argc, char **argv);
/* Keeps messages of the host (AF_VSOCK) as files, and sends each back. */
int messages(int argc, char **argv);

/* Prints what failed and why, and ends the program with status 1. */
__attribute__((noreturn)) void fail(const char *what);

#endif
