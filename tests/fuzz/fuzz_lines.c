/* SPDX-License-Identifier: Apache-2.0 */
/* Line tables: any bytes, any first line, any address. */
#include <stdlib.h>
#include <string.h>

#include "python/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_place place;
	int32_t firstlineno, line;
	uint32_t addr;
	uint8_t enc;

	if (size < 9)
		return 0;
	enc = data[0] % 3;
	memcpy(&firstlineno, data + 1, sizeof(firstlineno));
	memcpy(&addr, data + 5, sizeof(addr));
	line = lines_lookup((enum py_lines)enc, data + 9, size - 9, firstlineno, addr);
	if (line < LINE_OFF)
		abort();
	/* an address that a small table can reach */
	line = lines_lookup((enum py_lines)enc, data + 9, size - 9, firstlineno, addr & 0xff);
	if (line < LINE_OFF || (line == LINE_NONE && enc == PY_LINES_LNOTAB))
		abort();
	place = lines_place((enum py_lines)enc, data + 9, size - 9, firstlineno, addr & 0xff);
	if (place.line != line || place.end_line < 0 || place.column < 0 || place.end_column < 0)
		abort();
	return 0;
}
