// What the panel adds where JavaScript runs: buttons that copy, and a journey that draws
// itself on. Everything else works without.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
	if (!navigator.clipboard) break;
	button.hidden = false;
	button.addEventListener("click", async () => {
		await navigator.clipboard.writeText(button.dataset.copy);
		button.classList.add("done");
		setTimeout(() => button.classList.remove("done"), 1500);
	});
}

async function look() {
	const here = document.getElementById("live");
	let live = true;
	try {
		const answer = await fetch(location.pathname, { credentials: "same-origin" });
		if (!answer.ok || answer.redirected) return;
		const page = new DOMParser().parseFromString(await answer.text(), "text/html");
		const now = page.getElementById("live");
		live = page.body.hasAttribute("data-live");
		// Left alone while somebody is in the middle of it.
		if (here && now && here.innerHTML !== now.innerHTML && !here.contains(document.activeElement)) {
			here.replaceWith(document.importNode(now, true));
		}
	} catch {
		// The server is restarting; the next look may succeed.
	}
	if (live) setTimeout(look, 2000);
}
if (document.body.hasAttribute("data-live")) setTimeout(look, 1000);
