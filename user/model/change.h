/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it a change, or chance? Two recordings of one program never have quite the same shares. A
 * share is x of n samples; samples are taken as independent draws, which is the best case: what the
 * program did differently between the recordings comes on top, and no test can tell it from a
 * change of the program.
 */
#ifndef UNCOIL_MODEL_CHANGE_H
#define UNCOIL_MODEL_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Shares from 0 to 1 and their difference, b - a, with the interval that holds the true one. */
struct change {
	double a, b;
	double diff, low, high;
	bool is_real; /* the interval does not contain 0 */
};

/* How many standard deviations of the normal distribution leave out `alpha`, both tails together;
 * 0 < alpha < 1. */
double change_z(double alpha);

/* Of xa in na samples against xb in nb: R. G. Newcombe's interval 10 (Statistics in Medicine 17,
 * 1998, "Interval estimation for the difference between independent proportions"), made of
 * Wilson's for each share. Holds for few samples, and for shares of 0 and 1, too. */
struct change change_of(uint64_t xa, uint64_t na, uint64_t xb, uint64_t nb, double z);

#endif
