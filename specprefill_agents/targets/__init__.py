"""The local target model: what a compressed prompt is sent to when nothing leaves the machine."""
