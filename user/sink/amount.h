/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report's numbers as a reader wants them: samples with their thousands apart, nanoseconds as the
 * unit that leaves four digits to read. Each sink that is read by people takes them from here, so
 * that the same number looks the same everywhere.
 */
#ifndef UNCOIL_SINK_AMOUNT_H
#define UNCOIL_SINK_AMOUNT_H

#include <stdint.h>

#include "model/report.h"

struct amount {
	char text[64];
};

/* "1,234,567" or, of nanoseconds, "12.35 ms". */
struct amount amount_bare(enum report_unit unit, uint64_t n);

/* With what is counted: "1 sample", "1,234 samples"; nanoseconds as above. */
struct amount amount_of(enum report_unit unit, uint64_t n);

/* For a column of a table: as amount_bare(), without thousands' separators. */
struct amount amount_cell(enum report_unit unit, uint64_t n);

#endif
