import "eidos/use/worker";

// The worker of a page that is handed out: a file of its own, which the page holds inside.
