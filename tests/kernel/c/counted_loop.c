/* SPDX-License-Identifier: Apache-2.0 */
/* Makes getppid() for ever and counts its calls in the first eight bytes of a file. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	volatile uint64_t *count;

	if (fd < 0)
		return EXIT_FAILURE;
	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		return EXIT_FAILURE;
	for (;;) {
		syscall(SYS_getppid);
		*count += 1;
	}
}
