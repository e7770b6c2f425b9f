import { checkPublished } from "./published.ts";

// The two with the most weights.
checkPublished("resnet34");
checkPublished("resnet50");
