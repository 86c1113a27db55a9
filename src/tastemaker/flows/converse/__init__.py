"""From a workspace's catalogue to checked conversations: plan, generate, audit, judge, export."""
