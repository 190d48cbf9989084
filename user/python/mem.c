/* SPDX-License-Identifier: Apache-2.0 */
#include "python/mem.h"

#include <errno.h>
#include <sys/uio.h>

static int process_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	struct mem_process *m = (struct mem_process *)mem;
	struct iovec local = { .iov_base = ret_data, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	ssize_t got;

	got = process_vm_readv(m->pid, &local, 1, &remote, 1, 0);
	if (got < 0)
		return -errno;
	return (size_t)got == len ? 0 : -EFAULT;
}

void mem_process_init(struct mem_process *m, pid_t pid)
{
	m->mem.read = process_read;
	m->pid = pid;
}

static int limited_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	struct mem_limited *m = (struct mem_limited *)mem;

	if (!m->left) {
		m->ran_out = true;
		return -EFAULT;
	}
	m->left--;
	return m->of->read(m->of, addr, ret_data, len);
}

void mem_limited_init(struct mem_limited *m, struct mem *of, uint64_t reads_max)
{
	*m = (struct mem_limited){ { limited_read }, of, reads_max };
}

int mem_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	return mem->read(mem, addr, ret_data, len);
}

int mem_u64(struct mem *mem, uint64_t addr, uint64_t *ret_value)
{
	return mem->read(mem, addr, ret_value, sizeof(*ret_value));
}

int mem_u32(struct mem *mem, uint64_t addr, uint32_t *ret_value)
{
	return mem->read(mem, addr, ret_value, sizeof(*ret_value));
}
