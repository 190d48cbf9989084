/* SPDX-License-Identifier: Apache-2.0 */
#include "model/change.h"

#include <math.h>

double change_z(double alpha)
{
	double low = 0, high = 40, z;
	int i;

	/* erfc() falls strictly: halving is exact enough and needs no approximation's constants */
	for (i = 0; i < 100; i++) {
		z = (low + high) / 2;
		if (erfc(z / M_SQRT2) > alpha)
			low = z;
		else
			high = z;
	}
	return (low + high) / 2;
}

/* Wilson's score interval for x of n. */
static void wilson(double x, double n, double z, double *ret_low, double *ret_high)
{
	double p = x / n, middle = 2 * x + z * z, spread = z * sqrt(z * z + 4 * x * (1 - p));
	double of = 2 * (n + z * z);

	*ret_low = (middle - spread) / of;
	*ret_high = (middle + spread) / of;
}

struct change change_of(uint64_t xa, uint64_t na, uint64_t xb, uint64_t nb, double z)
{
	double low_a, high_a, low_b, high_b;
	struct change c = {};

	if (!na || !nb) {
		/* nothing is known of that side: the difference may be anything */
		c.a = na ? (double)xa / (double)na : 0;
		c.b = nb ? (double)xb / (double)nb : 0;
		c.diff = c.b - c.a;
		c.low = -1;
		c.high = 1;
		return c;
	}
	c.a = (double)xa / (double)na;
	c.b = (double)xb / (double)nb;
	c.diff = c.b - c.a;
	wilson(xa, na, z, &low_a, &high_a);
	wilson(xb, nb, z, &low_b, &high_b);
	c.low = c.diff - sqrt((c.b - low_b) * (c.b - low_b) + (high_a - c.a) * (high_a - c.a));
	c.high = c.diff + sqrt((high_b - c.b) * (high_b - c.b) + (c.a - low_a) * (c.a - low_a));
	c.is_real = c.low > 0 || c.high < 0;
	return c;
}
