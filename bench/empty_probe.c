// SPDX-License-Identifier: Apache-2.0
/*
 * empty_probe NAME...
 *
 * Attaches a program that does nothing at each of these BTF-typed tracepoints, says "ready", and
 * leaves at the end of its input: the least that counting at these places can cost.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	/* r0 = 0; exit */
	const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	char end;

	for (int i = 1; i < argc; i++) {
		LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP);
		int type_id = libbpf_find_vmlinux_btf_id(argv[i], BPF_TRACE_RAW_TP);
		int program;

		if (type_id < 0)
			return 1;
		options.attach_btf_id = (__u32)type_id;
		program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "asm_empty", "GPL", nothing, 2, &options);
		if (program < 0 || bpf_raw_tracepoint_open(NULL, program) < 0)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	return read(0, &end, 1) < 0;
}
