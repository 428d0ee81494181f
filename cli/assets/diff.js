"use strict";
{
	const filter = document.getElementById("filter"), none = document.getElementById("none"), tree = document.querySelector("nav");
	const kinds = [...document.querySelectorAll("button[data-kind]")];
	const changes = [...document.querySelectorAll("article")].map((article) => ({
		article,
		link: tree.querySelector(`a[href="#${article.id}"]`),
		kind: article.dataset.kind,
		path: article.querySelector(".path").textContent.toLowerCase(),
		text: null,
	}));

	/* What is in a change is looked through from three letters on; the text of each is made once. */
	const matches = (change, words) => {
		if (words.every((word) => change.path.includes(word)))
			return true;
		if (words.some((word) => word.length < 3))
			return false;
		change.text ??= change.article.textContent.toLowerCase();
		return words.every((word) => change.text.includes(word));
	};

	const update = () => {
		const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
		const off = new Set(kinds.filter((b) => b.getAttribute("aria-pressed") === "false").map((b) => b.dataset.kind));
		let shown = 0;
		for (const change of changes) {
			const show = !off.has(change.kind) && matches(change, words);
			change.article.hidden = !show;
			change.link?.classList.toggle("off", !show);
			shown += show;
		}
		for (const item of tree.querySelectorAll("li"))
			item.hidden = !item.querySelector("a:not(.off)");
		none.hidden = shown > 0 || changes.length === 0;
	};

	let waiting = 0;
	filter.addEventListener("input", () => {
		clearTimeout(waiting);
		waiting = setTimeout(update, 80);
	});
	for (const button of kinds)
		button.addEventListener("click", () => {
			button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "false");
			update();
		});
	document.getElementById("fold").addEventListener("click", () => {
		const all = [...document.querySelectorAll("article details")], open = all.some((d) => d.open);
		for (const details of all)
			details.open = !open;
	});
	document.addEventListener("keydown", (event) => {
		if (event.key === "/" && document.activeElement !== filter) {
			event.preventDefault();
			filter.focus();
		} else if (event.key === "Escape" && document.activeElement === filter) {
			filter.value = "";
			update();
		}
	});
	const open = () => {
		const details = document.getElementById(location.hash.slice(1))?.querySelector("details");
		if (details)
			details.open = true;
	};
	addEventListener("hashchange", open);
	open();
}
