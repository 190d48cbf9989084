# SPDX-License-Identifier: Apache-2.0
"""Compiled by gen-lines; never run. Line numbers are the point: do not reformat."""
import contextlib


def multi_line(a, b, c):
    return (a +
            b(
                c,
                a[
                    b
                ],
            )
            + [x
               for x in
               a
               if x > b] [
                   0
               ])


def tries(x):
    try:
        with contextlib.suppress(ValueError), \
                contextlib.suppress(KeyError):
            x()
    except (TypeError,
            OSError) as e:
        raise RuntimeError(
            e
        ) from e
    else:
        x = 1
    finally:
        del x
    while x:
        if x > 1:
            continue
        elif x: break
    else:
        return lambda a, b=1: (
            a +
            b
        )


def deco(*args):
    return lambda f: f


@deco(
    1,
    2,
)
@deco()
class Klass(
        dict,
):
    attr = {
        "a": 1,
        "b": (lambda: 2)(),
    }

    @property
    def prop(self): return self.attr

    async def coro(self, it):
        async with it as x, x:
            async for y in it:
                yield y
                await y(
                    x)
        z = [i async for i in it if
             await i]
        yield {k: v for k, v in
               z}


def gen(n):
    def inner():
        nonlocal n
        n = yield from (
            i
            for i in range(n)
        )
    yield inner
    assert n, (
        "message"
        f"{n!r}"
    )


def one_liner(x): x = x + 1; x += 2; return [x for _ in x]


def far(
    a,
    b,
):
    a(1)












































































































































    b(2)












































































































































































































































































































    return (






















































































































































        a(












































































































































            b
        ) + a
    )


def long(a):
    return a(
        a.b0[0],
        a.b1[1],
        a.b2[2],
        a.b3[3],
        a.b4[4],
        a.b5[5],
        a.b6[6],
        a.b7[7],
        a.b8[8],
        a.b9[9],
        a.b10[10],
        a.b11[11],
        a.b12[12],
        a.b13[13],
        a.b14[14],
        a.b15[15],
        a.b16[16],
        a.b17[17],
        a.b18[18],
        a.b19[19],
        a.b20[20],
        a.b21[21],
        a.b22[22],
        a.b23[23],
    )


def wide(a):
    return [a.b0, a.b1, a.b2, a.b3, a.b4, a.b5, a.b6, a.b7, a.b8, a.b9, a.b10, a.b11, a.b12, a.b13, a.b14, a.b15, a.b16, a.b17, a.b18, a.b19, a.b20, a.b21, a.b22, a.b23, a.b24, a.b25, a.b26, a.b27, a.b28, a.b29, a.b30, a.b31, a.b32, a.b33, a.b34, a.b35, a.b36, a.b37, a.b38, a.b39, a.b40, a.b41, a.b42, a.b43, a.b44, a.b45, a.b46, a.b47, a.b48, a.b49, a.b50, a.b51, a.b52, a.b53, a.b54, a.b55, a.b56, a.b57, a.b58, a.b59, a.b60, a.b61, a.b62, a.b63, a.b64, a.b65, a.b66, a.b67, a.b68, a.b69, a.b70, a.b71, a.b72, a.b73, a.b74, a.b75, a.b76, a.b77, a.b78, a.b79, a.b80, a.b81, a.b82, a.b83, a.b84, a.b85, a.b86, a.b87, a.b88, a.b89, a.b90, a.b91, a.b92, a.b93, a.b94, a.b95, a.b96, a.b97, a.b98, a.b99, a.b100, a.b101, a.b102, a.b103, a.b104, a.b105, a.b106, a.b107, a.b108, a.b109, a.b110, a.b111, a.b112, a.b113, a.b114, a.b115, a.b116, a.b117, a.b118, a.b119, a.b120, a.b121, a.b122, a.b123, a.b124, a.b125, a.b126, a.b127, a.b128, a.b129, a.b130, a.b131, a.b132, a.b133, a.b134, a.b135, a.b136, a.b137, a.b138, a.b139, a.b140, a.b141, a.b142, a.b143, a.b144, a.b145, a.b146, a.b147, a.b148, a.b149]


def after(a): return (a.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx +
                 a)
