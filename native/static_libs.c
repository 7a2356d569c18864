/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Debian's static libbpf and libelf lack to be linked into a shared object.
 *
 * The two archives are compiled for programs (PIE), not for libraries. Two relocations stand in
 * the way, and each goes here in the smallest way that keeps one machine's build free of libbpf.so
 * and libelf.so at run time:
 *
 * - libelf's elf_error.o keeps its last error in a thread-local of the local-exec model. This file
 *   defines the three functions of that object, so that the linker never takes it.
 * - libbpf.o copies `stderr` by a copy relocation. native/Makefile renames the symbol in a copy of
 *   the archive, and this file gives it its value.
 *
 * Delete when libbpf-dev and libelf-dev ship PIC archives: linking fails here first if they change
 * otherwise. Sources: elfutils 0.188 libelf/elf_error.c; ELF Handling For Thread-Local Storage, 4.4.
 */
#include <stdio.h>

FILE *sasm_libbpf_stderr;

static __thread int elf_last_error;

__attribute__((constructor)) static void copy_stderr(void)
{
	sasm_libbpf_stderr = stderr;
}

/* As elf_errno(3): return the last error and forget it. */
int elf_errno(void)
{
	int error = elf_last_error;

	elf_last_error = 0;
	return error;
}

void __libelf_seterrno(int error)
{
	elf_last_error = error;
}

/*
 * libbpf prints this in its own messages only. The number is libelf's; its table of texts went
 * with elf_error.o. As elf_errmsg(3): 0 means the last error, and NULL when there is none.
 */
const char *elf_errmsg(int error)
{
	static __thread char text[32];

	if (error == 0 && elf_last_error == 0)
		return NULL;
	if (error == 0 || error == -1)
		error = elf_last_error;
	snprintf(text, sizeof(text), "libelf error %d", error);
	return text;
}
