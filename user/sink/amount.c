/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/amount.h"

#include <inttypes.h>
#include <stdio.h>

static struct amount time_of(uint64_t ns)
{
	static const struct {
		uint64_t
			from; /* a little less than one, so that what rounds up to 1000 goes here */
		double ns;
		const char *name;
	} units[] = { { 999950000, 1e9, "s" }, { 999950, 1e6, "ms" }, { 1000, 1e3, "us" } };
	struct amount amount;
	double value;
	unsigned int i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ns < units[i].from)
			continue;
		value = (double)ns / units[i].ns;
		snprintf(amount.text, sizeof(amount.text), "%.*f %s",
			 value < 9.9995    ? 3
			 : value < 99.995  ? 2
			 : value < 9999.95 ? 1
					   : 0,
			 value, units[i].name);
		return amount;
	}
	snprintf(amount.text, sizeof(amount.text), "%" PRIu64 "%s", ns, ns ? " ns" : "");
	return amount;
}

struct amount amount_cell(enum report_unit unit, uint64_t n)
{
	struct amount amount;

	if (unit == REPORT_NS)
		return time_of(n);
	snprintf(amount.text, sizeof(amount.text), "%" PRIu64, n);
	return amount;
}

struct amount amount_bare(enum report_unit unit, uint64_t n)
{
	struct amount amount;
	char digits[24];
	int len, i, at = 0;

	if (unit == REPORT_NS)
		return time_of(n);
	len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			amount.text[at++] = ',';
		amount.text[at++] = digits[i];
	}
	amount.text[at] = '\0';
	return amount;
}

struct amount amount_of(enum report_unit unit, uint64_t n)
{
	struct amount bare = amount_bare(unit, n), amount;

	if (unit == REPORT_NS)
		return n ? bare : (struct amount){ "0 s" };
	snprintf(amount.text, sizeof(amount.text), "%.40s sample%s", bare.text, n == 1 ? "" : "s");
	return amount;
}
