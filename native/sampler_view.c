/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what the sampler has published. Never waits for a measurement. */
#include <errno.h>

#include "internal/sampler_state.h"

/* The figures are as old as the last measurement; that nothing changed since is known to be so. */
static void copy_sample(const struct sasm_sampler *sampler, const struct agent *agent,
			struct sasm_sample *ret_sample)
{
	*ret_sample = agent->sample;
	if (ret_sample->timestamp_us < sampler->last_pass_us)
		ret_sample->timestamp_us = sampler->last_pass_us;
}

int sasm_sampler_changed(struct sasm_sampler *sampler, struct sasm_sample *ret_samples,
			 uint32_t capacity)
{
	uint32_t found = 0;

	pthread_mutex_lock(&sampler->lock);
	for (uint32_t slot = 0; slot < sampler->slots_used && found < capacity; slot++) {
		struct agent *agent = sampler->agents[slot];

		if (!agent || !agent->is_changed)
			continue;
		agent->is_changed = false;
		copy_sample(sampler, agent, &ret_samples[found++]);
	}
	pthread_mutex_unlock(&sampler->lock);
	return (int)found;
}

int sasm_sampler_rows(struct sasm_sampler *sampler, struct sasm_sample *ret_samples,
		      uint32_t capacity)
{
	uint32_t found = 0;

	pthread_mutex_lock(&sampler->lock);
	for (uint32_t slot = 0; slot < sampler->slots_used && found < capacity; slot++)
		if (sampler->agents[slot])
			copy_sample(sampler, sampler->agents[slot], &ret_samples[found++]);
	pthread_mutex_unlock(&sampler->lock);
	return (int)found;
}

int sasm_sampler_row(struct sasm_sampler *sampler, uint32_t slot, struct sasm_sample *ret_sample)
{
	int code = -ESRCH;

	pthread_mutex_lock(&sampler->lock);
	if (slot < sampler->slots_max && sampler->agents[slot]) {
		copy_sample(sampler, sampler->agents[slot], ret_sample);
		code = 0;
	}
	pthread_mutex_unlock(&sampler->lock);
	return code;
}

int sasm_sampler_windows(struct sasm_sampler *sampler, uint32_t slot,
			 struct sasm_window *ret_windows, uint32_t capacity)
{
	int found = -ESRCH;

	pthread_mutex_lock(&sampler->lock);
	if (slot < sampler->slots_max && sampler->agents[slot])
		found = sasm_sampler_list_windows(sampler->agents[slot], sampler->last_end_second,
						  ret_windows, capacity);
	pthread_mutex_unlock(&sampler->lock);
	return found;
}

void sasm_sampler_figures(struct sasm_sampler *sampler, struct sasm_sampler_figures *ret_figures)
{
	pthread_mutex_lock(&sampler->lock);
	*ret_figures = sampler->figures;
	pthread_mutex_unlock(&sampler->lock);
}
