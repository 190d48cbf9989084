/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the picture that flame.c drew interactive. The page's elements are the only data; text of
 * the target goes from their titles to textContent and to regular expressions, never to markup.
 */
(function () {
	'use strict';

	const SVG = 'http://www.w3.org/2000/svg';
	const HTML = 'http://www.w3.org/1999/xhtml';
	/* as in page.c */
	const MARGIN = 10;
	const LABEL_MIN = 3;
	const NARROW = 4;
	const page = document.getElementById('uncoil');
	const box = document.getElementById('frames');
	const bar = document.getElementById('bar');
	const barTop = Number(bar.dataset.y);
	const barHeight = Number(bar.dataset.height);
	const frames = readFrames();
	const all = frames[0].n;
	const ui = {};
	let zoomed = frames[0];
	let before = []; /* frames zoomed to earlier, for Backspace */
	let focused = frames[0];
	let charWidth = 7.3;
	let width = 0; /* of the box, in pixels */
	let found = null; /* the regular expression searched for */

	/* --- frames */

	/* Document order is depth first, so a frame's descendants follow it, up to `end`. */
	function readFrames() {
		const list = [];
		const path = [];

		for (const el of box.children) {
			const depth = Number(el.getAttribute('aria-level')) - 1;
			const frame = {
				el, depth, index: list.length, parent: path[depth - 1] || null,
				x: Number(el.dataset.x), n: Number(el.dataset.n), shown: true,
				hit: false, end: 0, lines: null,
				text: el.querySelector('text'),
				label: null, left: null, wide: null,
			};

			for (let i = depth; i < path.length; i++)
				path[i].end = list.length;
			path.length = depth;
			path.push(frame);
			el.frame = frame;
			list.push(frame);
		}
		for (const frame of path)
			frame.end = list.length;
		return list;
	}

	/* The title's lines: name; counts; full path, if it differs from what the name says. */
	function about(frame) {
		if (!frame.lines)
			frame.lines = frame.el.querySelector('title').textContent.split('\n');
		return frame.lines;
	}

	function isInside(frame, outer) {
		return frame.index >= outer.index && frame.index < outer.end;
	}

	function frameOf(node) {
		const el = node instanceof Element ? node.closest('.f') : null;

		return el ? el.frame : null;
	}

	/* At most `chars` characters, not ending in half of a surrogate pair. */
	function shorten(text, chars) {
		if (text.length <= chars)
			return text;
		return text.slice(0, Math.max(0, chars - 1)).replace(/[\ud800-\udbff]$/, '') +
			'\u2026';
	}

	/* --- drawing: all that a zoom, or a new window width, changes */

	function setLabel(frame, pixels) {
		const chars = Math.floor((pixels - 6) / charWidth);
		const label = chars >= LABEL_MIN ? shorten(about(frame)[0], chars) : '';

		if (label === frame.label)
			return;
		frame.label = label;
		if (!frame.text && label) {
			frame.text = document.createElementNS(SVG, 'text');
			frame.text.setAttribute('x', 3);
			frame.text.setAttribute('y', 12);
			frame.el.appendChild(frame.text);
		}
		if (frame.text)
			frame.text.textContent = label;
	}

	function place(frame) {
		const up = frame !== zoomed && isInside(zoomed, frame);
		const shown = up || isInside(frame, zoomed);
		const left = up || !zoomed.n ? 0 : (frame.x - zoomed.x) / zoomed.n;
		const wide = up || !zoomed.n ? 1 : frame.n / zoomed.n;

		if (shown !== frame.shown) {
			frame.shown = shown;
			frame.el.style.display = shown ? '' : 'none';
		}
		if (!shown)
			return;
		if (left !== frame.left || wide !== frame.wide) {
			frame.left = left;
			frame.wide = wide;
			frame.el.setAttribute('x', left * 100 + '%');
			frame.el.setAttribute('width', wide * 100 + '%');
		}
		frame.el.classList.toggle('up', up);
		frame.el.classList.toggle('n', wide * width < NARROW);
		setLabel(frame, wide * width);
	}

	function draw() {
		for (const frame of frames)
			place(frame);
		ui.reset.disabled = zoomed === frames[0];
		showMatched();
		if (!focused.shown)
			focus(zoomed);
	}

	/* What the window cuts off a header line is in its tooltip. */
	function fitLines() {
		for (const line of page.querySelectorAll('text.line')) {
			if (!line.dataset.full)
				line.dataset.full = line.firstChild.data;
			if (!line.querySelector('title'))
				line.appendChild(document.createElementNS(SVG, 'title')).textContent =
					line.dataset.full;
			line.firstChild.data = shorten(line.dataset.full,
				Math.floor(width / charWidth));
		}
	}

	function fit() {
		const wide = document.documentElement.clientWidth || window.innerWidth;

		ui.tools.setAttribute('width', wide);
		ui.help.setAttribute('width', Math.min(560, wide - 2 * MARGIN));
		ui.help.setAttribute('x', Math.max(MARGIN, (wide - 560) / 2));
		ui.help.setAttribute('height', Math.min(430, window.innerHeight - 2 * MARGIN));
		width = Math.max(1, wide - 2 * MARGIN);
		box.setAttribute('width', width);
		fitLines();
		draw();
		stick();
	}

	/* The tools stay in sight however deep the stacks are. */
	function stick() {
		const down = Math.max(0, window.scrollY - barTop);

		ui.tools.setAttribute('transform', `translate(0 ${down})`);
		ui.help.setAttribute('y', window.scrollY + MARGIN);
	}

	/* --- details */

	function percent(part, whole) {
		return (whole ? 100 * part / whole : 0).toFixed(2) + ' %';
	}

	function describe(frame) {
		const lines = about(frame);
		let numbers = lines[1];

		if (zoomed !== frames[0] && isInside(frame, zoomed) && frame !== zoomed)
			numbers += ', ' + percent(frame.n, zoomed.n) + ' of the zoomed frame';
		if (lines[2])
			numbers += ' \u00b7 ' + lines[2];
		ui.name.textContent = lines[0];
		ui.numbers.textContent = numbers;
	}

	/* --- focus: one frame is in the Tab order, arrows move it (a "roving tabindex") */

	function focus(frame) {
		focused.el.setAttribute('tabindex', -1);
		focused = frame;
		frame.el.setAttribute('tabindex', 0);
		frame.el.focus({ preventScroll: true });
		describe(frame);
		reveal(frame);
	}

	function reveal(frame) {
		const at = frame.el.getBoundingClientRect();
		const top = barHeight + 4;
		const bottom = window.innerHeight - 8;

		if (at.top < top)
			window.scrollBy(0, at.top - top);
		else if (at.bottom > bottom)
			window.scrollBy(0, at.bottom - bottom);
	}

	/* The nearest frame of the same depth to the left (step -1) or right (1). */
	function beside(frame, step) {
		let i = frame.index + step;

		while (i >= 0 && i < frames.length) {
			if (frames[i].shown && frames[i].depth === frame.depth)
				return frames[i];
			i += step;
		}
		return null;
	}

	/* Below: the heaviest child, or at least the first. */
	function below(frame) {
		let best = null;

		for (let i = frame.index + 1; i < frame.end; i++)
			if (frames[i].parent === frame && frames[i].shown &&
			    (!best || frames[i].n > best.n))
				best = frames[i];
		return best;
	}

	/* --- zoom */

	function zoom(frame) {
		if (frame === zoomed)
			return;
		before.push(zoomed);
		zoomed = frame;
		draw();
	}

	function unzoom() {
		if (before.length)
			zoomed = before.pop();
		else
			zoomed = frames[0];
		draw();
	}

	function reset() {
		before = [];
		zoomed = frames[0];
		draw();
	}

	/* --- search */

	/* Without capitals, case does not matter. */
	function search() {
		const pattern = ui.search.value;

		found = null;
		ui.search.removeAttribute('aria-invalid');
		try {
			if (pattern)
				found = new RegExp(pattern, /[A-Z]/.test(pattern) ? '' : 'i');
		} catch (error) {
			ui.search.setAttribute('aria-invalid', 'true');
		}
		for (const frame of frames) {
			const lines = about(frame);
			const hit = Boolean(found) && (found.test(lines[0]) ||
				found.test(lines[2] || ''));

			if (hit !== frame.hit) {
				frame.hit = hit;
				frame.el.classList.toggle('hit', hit);
			}
		}
		box.classList.toggle('searching', Boolean(found));
		showMatched();
	}

	/* Each sample counts once, however many frames of its stack match: by the outermost. */
	function showMatched() {
		let sum = 0;
		let i = zoomed.index;

		if (!found) {
			ui.matched.textContent = ui.search.value ? 'not a regular expression' : '';
			return;
		}
		for (let up = zoomed.parent; up; up = up.parent)
			if (up.hit)
				sum = zoomed.n;
		while (i < zoomed.end && sum < zoomed.n) {
			if (frames[i].hit) {
				sum += frames[i].n;
				i = frames[i].end;
			} else {
				i++;
			}
		}
		ui.matched.textContent = 'matched: ' + percent(sum, zoomed.n) +
			(zoomed === frames[0] ? '' : ' of the zoomed frame');
	}

	function nextMatch(step) {
		for (let i = 1; i <= frames.length; i++) {
			const at = (focused.index + step * i + frames.length * 2) % frames.length;

			if (frames[at].hit && frames[at].shown)
				return focus(frames[at]);
		}
	}

	function clearSearch() {
		ui.search.value = '';
		search();
	}

	/* --- the tools and the help, in HTML: its layout suits every width */

	function html(name, attributes, ...children) {
		const el = document.createElementNS(HTML, name);

		for (const [key, value] of Object.entries(attributes))
			el.setAttribute(key, value);
		el.append(...children);
		return el;
	}

	function foreign(content) {
		const el = document.createElementNS(SVG, 'foreignObject');

		el.appendChild(content);
		page.appendChild(el);
		return el;
	}

	function addTools() {
		ui.reset = html('button', { id: 'reset', type: 'button' }, 'Reset zoom');
		ui.search = html('input', {
			id: 'search', type: 'search', placeholder: 'Search (regular expression)',
			'aria-label': 'Search frames by regular expression',
			spellcheck: 'false', autocomplete: 'off',
		});
		ui.matched = html('output', { id: 'matched' });
		ui.ask = html('button', {
			id: 'ask', type: 'button', 'aria-label': 'Help', title: 'Help (?)',
		}, '?');
		ui.name = html('p', { id: 'name' },
			'Point at a frame for details, click it to zoom; ? explains more.');
		ui.numbers = html('p', { id: 'numbers' });
		ui.tools = foreign(html('div', { id: 'tools', class: 'uncoil' },
			html('div', {}, ui.reset, ui.search, ui.matched, ui.ask),
			ui.name, ui.numbers));
		ui.tools.setAttribute('y', barTop);
		ui.tools.setAttribute('height', barHeight);
		bar.remove();
	}

	function addHelp() {
		const keys = [
			['click, Enter', 'zoom to the frame; its callers stay above it, pale'],
			['Backspace', 'back to the zoom before'],
			['Escape', 'close this, or reset the zoom, or clear the search'],
			['arrow keys', 'down to the heaviest callee, up to the caller, sideways'],
			['Home', 'to the root'],
			['/, Ctrl-F', 'search by regular expression; case matters with capitals'],
			['n, N', 'next, previous match'],
			['?', 'this help'],
		];
		const list = html('dl', {});

		for (const [key, what] of keys)
			list.append(html('dt', {}, key), html('dd', {}, what));
		ui.close = html('button', { id: 'close', type: 'button' }, 'Close');
		ui.help = foreign(html('div', {
			id: 'help', class: 'uncoil', role: 'dialog', 'aria-labelledby': 'help-title',
		}, html('h2', { id: 'help-title' }, 'How to read and use it'),
		html('p', {}, 'A frame is a function, under its caller. It is as wide as the ' +
			(box.dataset.unit === 'ns' ? 'time that passed with it on the stack. ' :
				'share of samples in which it was on the stack. ') +
			'From left to right the ' +
			'heaviest comes first; it is not the order in time.'),
		list, ui.close));
		ui.help.style.display = 'none';
	}

	function showHelp(on) {
		ui.help.style.display = on ? '' : 'none';
		if (on)
			ui.close.focus({ preventScroll: true });
		else
			focus(focused);
	}

	function isHelpShown() {
		return ui.help.style.display !== 'none';
	}

	/* --- keys */

	function openSearch() {
		ui.search.focus({ preventScroll: true });
		ui.search.select();
	}

	function escape() {
		if (isHelpShown())
			return showHelp(false);
		if (document.activeElement === ui.search) {
			clearSearch();
			return focus(focused);
		}
		if (zoomed === frames[0])
			return clearSearch();
		reset();
		reveal(focused);
	}

	function move(to) {
		if (to && to.shown)
			focus(to);
	}

	const frameKeys = {
		Enter: () => { zoom(focused); reveal(focused); },
		' ': () => { zoom(focused); reveal(focused); },
		ArrowDown: () => move(below(focused)),
		ArrowUp: () => move(focused.parent),
		ArrowLeft: () => move(beside(focused, -1)),
		ArrowRight: () => move(beside(focused, 1)),
		Home: () => move(frames[0]),
	};
	const anyKeys = {
		Backspace: () => { unzoom(); reveal(focused); },
		'/': openSearch,
		'?': () => showHelp(!isHelpShown()),
		n: () => nextMatch(1),
		N: () => nextMatch(-1),
	};

	function onKey(event) {
		const typing = event.target === ui.search;
		const onFrame = frameOf(event.target);
		let action = null;

		if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key === 'f') {
			/* pressed once more it is the browser's own */
			if (!typing)
				action = openSearch;
		} else if (event.ctrlKey || event.metaKey || event.altKey) {
			return;
		} else if (event.key === 'Escape') {
			action = escape;
		} else if (typing) {
			if (event.key === 'Enter')
				action = () => nextMatch(1);
		} else if (onFrame && Object.hasOwn(frameKeys, event.key)) {
			action = frameKeys[event.key];
		} else if (Object.hasOwn(anyKeys, event.key)) {
			action = anyKeys[event.key];
		}
		if (!action)
			return;
		event.preventDefault();
		action();
	}

	function listen() {
		box.addEventListener('click', (event) => {
			const frame = frameOf(event.target);

			if (frame) {
				zoom(frame);
				focus(frame);
			}
		});
		box.addEventListener('mouseover', (event) => {
			const frame = frameOf(event.target);

			if (frame)
				describe(frame);
		});
		/* not on the box: with such a listener Chromium puts it into the Tab order */
		document.addEventListener('focusin', (event) => {
			const frame = frameOf(event.target);

			if (frame)
				describe(frame);
		});
		ui.reset.addEventListener('click', () => { reset(); focus(focused); });
		ui.search.addEventListener('input', search);
		ui.ask.addEventListener('click', () => showHelp(true));
		ui.close.addEventListener('click', () => showHelp(false));
		document.addEventListener('keydown', onKey);
		window.addEventListener('resize', fit);
		window.addEventListener('scroll', stick);
	}

	function measureChar() {
		const text = document.createElementNS(SVG, 'text');

		text.textContent = 'm'.repeat(50);
		page.appendChild(text);
		charWidth = text.getComputedTextLength() / 50 || charWidth;
		text.remove();
	}

	addTools();
	addHelp();
	page.setAttribute('width', '100%');
	page.removeAttribute('viewBox');
	measureChar();
	listen();
	fit();
}());
