/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler's calls: opened, agents added and removed, figures read. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal/cgroup_file.h"
#include "internal/sampler_state.h"

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void free_agent(struct agent *agent)
{
	close_fd(agent->cgroup_fd);
	close_fd(agent->stat_fd);
	close_fd(agent->procs_fd);
	close_fd(agent->memory_fd);
	close_fd(agent->peak_fd);
	close_fd(agent->io_fd);
	pthread_mutex_destroy(&agent->measuring);
	free(agent->processes.items);
	free(agent->blocks.tasks);
	free(agent);
}

void sasm_sampler_drop(struct agent *agent)
{
	if (--agent->references == 0)
		free_agent(agent);
}

static int open_fds(struct sasm_sampler *sampler)
{
	sampler->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	sampler->stop_fd = eventfd(0, EFD_CLOEXEC);
	sampler->pass_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sampler->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sampler->timer_fd < 0 || sampler->stop_fd < 0 || sampler->pass_fd < 0 ||
	    sampler->proc_fd < 0)
		return -errno;
	sampler->has_task_io = faccessat(sampler->proc_fd, "self/io", F_OK, 0) == 0;
	return 0;
}

int sasm_sampler_open(const struct sasm_probes *probes, uint32_t slots_max,
		      struct sasm_sampler **ret_sampler)
{
	struct sasm_sampler *sampler;
	int code = -ENOMEM;

	if (!slots_max || slots_max > INT32_MAX ||
	    (probes && slots_max > probes->layout.slots_max))
		return -EINVAL;
	sampler = calloc(1, sizeof(*sampler));
	if (!sampler)
		return -ENOMEM;
	sampler->probes = probes;
	sampler->slots_max = slots_max;
	pthread_mutex_init(&sampler->lock, NULL);
	sampler->timer_fd = sampler->stop_fd = sampler->pass_fd = sampler->proc_fd = -1;
	sampler->agents = calloc(slots_max, sizeof(*sampler->agents));
	sampler->work = calloc(slots_max, sizeof(*sampler->work));
	sampler->depths = calloc(slots_max, sizeof(*sampler->depths));
	sampler->is_running = calloc(slots_max, sizeof(*sampler->is_running));
	if (sampler->agents && sampler->work && sampler->depths && sampler->is_running)
		code = open_fds(sampler);
	if (code < 0) {
		sasm_sampler_close(sampler);
		return code;
	}
	*ret_sampler = sampler;
	return 0;
}

int sasm_sampler_start(struct sasm_sampler *sampler)
{
	struct itimerspec when = { .it_interval.tv_sec = 1 };
	sigset_t all, before;
	int code;

	sampler->last_pass_us = sasm_sampler_clock_us();
	sampler->last_end_second = sampler->last_pass_us / 1000000;
	when.it_value.tv_sec = sampler->last_end_second + 1;
	if (timerfd_settime(sampler->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return -errno;
	/* Signals are for the interpreter's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&sampler->thread, NULL, sasm_sampler_loop, sampler);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return -code;
	pthread_setname_np(sampler->thread, "asm-sampler");
	sampler->is_started = true;
	return 0;
}

void sasm_sampler_close(struct sasm_sampler *sampler)
{
	if (!sampler)
		return;
	if (sampler->is_started) {
		eventfd_write(sampler->stop_fd, 1);
		pthread_join(sampler->thread, NULL);
	}
	for (uint32_t slot = 0; slot < sampler->slots_used; slot++)
		if (sampler->agents[slot])
			sasm_sampler_drop(sampler->agents[slot]);
	close_fd(sampler->timer_fd);
	close_fd(sampler->stop_fd);
	close_fd(sampler->pass_fd);
	close_fd(sampler->proc_fd);
	pthread_mutex_destroy(&sampler->lock);
	free(sampler->agents);
	free(sampler->work);
	free(sampler->depths);
	free(sampler->is_running);
	free(sampler);
}

int sasm_sampler_fd(const struct sasm_sampler *sampler)
{
	return sampler->pass_fd;
}

static int open_agent(int cgroup_fd, struct agent *agent)
{
	agent->memory_fd = agent->peak_fd = agent->io_fd = -1;
	agent->stat_fd = agent->procs_fd = -1;
	agent->cgroup_fd = fcntl(cgroup_fd, F_DUPFD_CLOEXEC, 3);
	if (agent->cgroup_fd < 0)
		return -errno;
	agent->stat_fd = sasm_cgroup_open(cgroup_fd, "cpu.stat");
	if (agent->stat_fd < 0)
		return agent->stat_fd;
	agent->procs_fd = sasm_cgroup_open(cgroup_fd, "cgroup.procs");
	if (agent->procs_fd < 0)
		return agent->procs_fd;
	agent->memory_fd = sasm_cgroup_open(cgroup_fd, "memory.current");
	if (agent->memory_fd >= 0)
		agent->peak_fd = sasm_cgroup_open(cgroup_fd, "memory.peak");
	agent->io_fd = sasm_cgroup_open(cgroup_fd, "io.stat");
	return 0;
}

static struct agent *new_agent(uint32_t slot, uint32_t agent_id)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int64_t *figures;

	if (!agent)
		return NULL;
	pthread_mutex_init(&agent->measuring, NULL);
	agent->references = 1;
	agent->slot = slot;
	agent->is_new = true;
	figures = (int64_t *)&agent->sample;
	for (size_t i = 0; i < sizeof(agent->sample) / sizeof(*figures); i++)
		figures[i] = SASM_ABSENT;
	agent->sample.slot = slot;
	agent->sample.agent_id = agent_id;
	agent->sample.memory_source = SASM_MEMORY_NONE;
	return agent;
}

int sasm_sampler_add(struct sasm_sampler *sampler, uint32_t slot, uint32_t agent_id, int cgroup_fd)
{
	int64_t now_us = sasm_sampler_clock_us();
	struct measurement measurement;
	struct agent *agent;
	int code;

	if (slot >= sampler->slots_max)
		return -EINVAL;
	agent = new_agent(slot, agent_id);
	if (!agent)
		return -ENOMEM;
	code = open_agent(cgroup_fd, agent);
	if (code < 0) {
		free_agent(agent);
		return code;
	}
	/* Its windows begin here, so what it has now is needed now. */
	sasm_sampler_measure(sampler, agent, MEASURE_COUNTERS, now_us, &measurement);
	sasm_sampler_publish(agent, &measurement, now_us, NULL);
	sasm_sampler_begin_windows(agent, now_us);

	pthread_mutex_lock(&sampler->lock);
	if (sampler->agents[slot]) {
		code = -EEXIST;
		free_agent(agent);
	} else {
		sampler->agents[slot] = agent;
		sampler->figures.agents++;
		if (sampler->slots_used <= slot)
			sampler->slots_used = slot + 1;
	}
	pthread_mutex_unlock(&sampler->lock);
	return code;
}

/* Measures an agent to which the caller holds a reference, and drops it. */
static void measure_now(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			struct sasm_sample *ret_sample)
{
	int64_t now_us = sasm_sampler_clock_us();
	struct measurement measurement;

	pthread_mutex_lock(&agent->measuring);
	sasm_sampler_measure(sampler, agent, depth, now_us, &measurement);
	pthread_mutex_unlock(&agent->measuring);
	pthread_mutex_lock(&sampler->lock);
	sasm_sampler_publish(agent, &measurement, now_us, NULL);
	if (ret_sample)
		*ret_sample = agent->sample;
	sasm_sampler_drop(agent);
	pthread_mutex_unlock(&sampler->lock);
}

int sasm_sampler_remove(struct sasm_sampler *sampler, uint32_t slot, struct sasm_sample *ret_sample)
{
	struct agent *agent = NULL;

	pthread_mutex_lock(&sampler->lock);
	if (slot < sampler->slots_max)
		agent = sampler->agents[slot];
	if (agent) {
		sampler->agents[slot] = NULL;
		sampler->figures.agents--;
	}
	pthread_mutex_unlock(&sampler->lock);
	if (!agent)
		return -ESRCH;
	measure_now(sampler, agent, MEASURE_ALL, ret_sample);
	return 0;
}

/* Takes a reference to the agent, or returns NULL. */
static struct agent *hold(struct sasm_sampler *sampler, uint32_t slot, bool is_idle_left_out)
{
	uint64_t syscalls, switches;
	struct agent *agent;

	pthread_mutex_lock(&sampler->lock);
	agent = slot < sampler->slots_max ? sampler->agents[slot] : NULL;
	if (agent && is_idle_left_out && sampler->probes && !agent->is_new &&
	    !sasm_sampler_has_run(sampler, agent, &syscalls, &switches))
		agent = NULL;
	if (agent)
		agent->references++;
	pthread_mutex_unlock(&sampler->lock);
	return agent;
}

int sasm_sampler_now(struct sasm_sampler *sampler, uint32_t slot)
{
	bool is_all = slot == SASM_ALL_SLOTS;
	uint32_t end = is_all ? sampler->slots_max : slot + 1;
	int64_t begun_us = sasm_sampler_clock_us();

	for (uint32_t i = is_all ? 0 : slot; i < end; i++) {
		struct agent *agent = hold(sampler, i, is_all);
		enum depth depth = MEASURE_ALL;

		/* The caller waits: gauges of very many that work are those of the last pass. */
		if (is_all)
			depth = sasm_sampler_clock_us() - begun_us < PASS_BUDGET_US ?
					MEASURE_ACTIVE :
					MEASURE_COUNTERS;
		if (agent)
			measure_now(sampler, agent, depth, NULL);
		else if (!is_all)
			return -ESRCH;
	}
	return 0;
}
