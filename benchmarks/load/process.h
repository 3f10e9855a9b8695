/* What another process has used, read from /proc. */
#ifndef PROCESS_H
#define PROCESS_H

/* User and system time of all its threads in seconds; 0 for a pid of 0 or one that is gone. */
double process_cpu_s(int pid);

/* Resident memory in KiB. */
long process_rss_kib(int pid);

/* The same for this process's CPU. */
double own_cpu_s(void);

#endif
